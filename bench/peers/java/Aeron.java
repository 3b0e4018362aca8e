/* SPDX-License-Identifier: Apache-2.0 */
import io.aeron.ExclusivePublication;
import io.aeron.FragmentAssembler;
import io.aeron.Publication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.logbuffer.FragmentHandler;
import io.aeron.protocol.DataHeaderFlyweight;
import java.util.List;
import org.agrona.BitUtil;
import org.agrona.BufferUtil;
import org.agrona.concurrent.SleepingIdleStrategy;
import org.agrona.concurrent.UnsafeBuffer;

/** Aeron over IPC. The media driver is a thread of the publishers' process, the subscribers are in another one. */
final class Aeron extends Peer {
    private static final int MOST_MTU = 65504; /* the largest there is; but an eighth of a term at most */
    private static final int HEADER = DataHeaderFlyweight.HEADER_LENGTH;
    private static final int FRAME = BitUtil.align(HEADER + Cell.SIZE, 32);
    private static final int BEST_TERM = 16 << 20;
    /*
     * The driver must not take a core, but it is what lets publishers go on when they have filled half a term. With a
     * BackoffIdleStrategy that sleeps from 50 us to 200 us or 1 ms it was slower.
     */
    private static final int SLEEP_NS = 50_000;
    private static io.aeron.Aeron client; /* one a process */

    private final boolean shared;
    private final String channel;
    private final int stream, term, mtu;

    private Aeron(Place place, boolean shared) {
        /* Half a term is what publishers are ahead at most; a message can be an eighth of one. */
        final long least = Cell.CAPACITY == 0 ? BEST_TERM : Math.max(2L * Cell.CAPACITY * FRAME, 64 << 10);
        final long bytes = Long.highestOneBit(2 * Math.max(least, 8L * Cell.SIZE) - 1);
        final String directory = place.path().substring(0, place.path().lastIndexOf('/')) + "/aeron";

        if (bytes > 1 << 30)
            Harness.unsupported("capacity: a term has at most 1 GiB");
        this.shared = shared;
        term = (int)bytes;
        mtu = Math.min(MOST_MTU, term / 8);
        channel = "aeron:ipc?term-length=" + term + "|mtu=" + mtu;
        stream = 1000 + place.number();
        if (client != null)
            return;
        if (place.first())
            MediaDriver.launch(new MediaDriver.Context()
                                   .aeronDirectoryName(directory)
                                   .threadingMode(ThreadingMode.SHARED)
                                   .sharedIdleStrategy(new SleepingIdleStrategy(SLEEP_NS))
                                   .ipcMtuLength(MOST_MTU)
                                   .termBufferSparseFile(false)
                                   .performStorageChecks(false)
                                   .warnIfDirectoryExists(false));
        client = io.aeron.Aeron.connect(new io.aeron.Aeron.Context().aeronDirectoryName(directory));
    }

    @Override
    long capacity() {
        return term / 2 / FRAME;
    }

    @Override
    long ringBytes() {
        return 3L * term;
    }

    @Override
    Producer producer(int number) {
        if (shared)
            return put(client.addPublication(channel, stream));
        final ExclusivePublication publication = client.addExclusivePublication(channel, stream);
        final boolean blocks = Cell.BATCH > 1 && Cell.SIZE <= publication.maxPayloadLength();
        return blocks ? new Blocks(publication) : put(publication);
    }

    /** True: it is in; false: later. */
    private static boolean put(long result) {
        if (result == Publication.CLOSED || result == Publication.MAX_POSITION_EXCEEDED)
            throw new IllegalStateException(Publication.errorString(result));
        return result >= 0;
    }

    private static Producer put(Publication publication) {
        if (Cell.SIZE > publication.maxPayloadLength()) {
            final UnsafeBuffer message = new UnsafeBuffer(BufferUtil.allocateDirectAligned(Cell.SIZE, 64));
            return (n, count) -> {
                Words.write(message.addressOffset(), n);
                return put(publication.offer(message, 0, Cell.SIZE)) ? 1 : 0;
            };
        }
        final BufferClaim claim = new BufferClaim();
        return (n, count) -> {
            if (!put(publication.tryClaim(Cell.SIZE, claim)))
                return 0;
            Words.write(claim.buffer().addressOffset() + claim.offset(), n);
            claim.commit();
            return 1;
        };
    }

    /** Batches: frames with their headers, put into the log as one block. */
    private static final class Blocks implements Producer {
        private final ExclusivePublication publication;
        private final int term;
        private final UnsafeBuffer block = new UnsafeBuffer(BufferUtil.allocateDirectAligned(Cell.BATCH * FRAME, 64));
        private final DataHeaderFlyweight header = new DataHeaderFlyweight(block);

        Blocks(ExclusivePublication publication) {
            this.publication = publication;
            term = publication.termBufferLength();
            for (int at = 0; at < block.capacity(); at += FRAME) {
                header.wrap(block, at, HEADER);
                header.version(DataHeaderFlyweight.CURRENT_VERSION)
                    .flags(DataHeaderFlyweight.BEGIN_AND_END_FLAGS)
                    .headerType(DataHeaderFlyweight.HDR_TYPE_DATA)
                    .frameLength(HEADER + Cell.SIZE);
                header.sessionId(publication.sessionId()).streamId(publication.streamId());
            }
        }

        @Override
        public int put(long n, int count) {
            int id = publication.termId(), offset = publication.termOffset();

            if (offset >= term) { /* it goes on in the next one */
                id++;
                offset = 0;
            }
            final int fit = Math.min(count, (term - offset) / FRAME);
            if (fit == 0) {
                Aeron.put(publication.appendPadding(term - offset - HEADER));
                return 0;
            }
            for (int i = 0; i < fit; i++) {
                final int at = i * FRAME;
                block.putInt(at + DataHeaderFlyweight.FRAME_LENGTH_FIELD_OFFSET, HEADER + Cell.SIZE);
                block.putInt(at + DataHeaderFlyweight.TERM_OFFSET_FIELD_OFFSET, offset + at);
                block.putInt(at + DataHeaderFlyweight.TERM_ID_FIELD_OFFSET, id);
                Words.write(block.addressOffset() + at + HEADER, n + i);
            }
            return Aeron.put(publication.offerBlock(block, 0, fit * FRAME)) ? fit : 0;
        }
    }

    @Override
    Consumer consumer(int number, Reader reader) {
        return new Poller(client.addSubscription(channel, stream), Cell.SIZE <= mtu - HEADER, reader);
    }

    private static final class Poller implements Consumer {
        private final Subscription subscription;
        private final FragmentHandler handler;
        private final boolean whole; /* not in fragments */
        private int taken;

        Poller(Subscription subscription, boolean whole, Reader reader) {
            final FragmentHandler use = (buffer, offset, length, header) -> {
                reader.use(buffer.addressOffset() + offset);
                taken++;
            };

            this.subscription = subscription;
            this.whole = whole;
            handler = whole ? use : new FragmentAssembler(use, Cell.SIZE, true);
        }

        @Override
        public int take(int max) {
            taken = 0;
            /* Of a message in fragments this may be a part only: go on as long as there are more. */
            while (subscription.poll(handler, whole ? max : 1) != 0 && taken == 0)
                continue;
            return taken;
        }
    }

    private static Harness.Offer offer(String impl, String name, boolean shared) {
        return new Harness.Offer(
            impl, name, Harness.version(io.aeron.Aeron.class), "processes", 32, 32,
            shared ? List.of("single", "loan") : List.of("single", "batch", "loan"), List.of("spin", "pause", "gather"),
            List.of("wake-up",
                    "quick recovery (the claim of a publisher that was killed blocks the others for 15 s)"),
            "IPC, terms of 16 MiB (not sparse, pre-touched), MTU 65504, driver in the publishers' process (SHARED, "
                + "sleeps 50 us at a time), tryClaim, above 64 KiB offer" + (shared ? "" : ", batches offerBlock")
                + "; poll with a limit of 256, bounds checks off; SerialGC",
            place -> new Aeron(place, shared));
    }

    static Harness.Offer[] offers() {
        return new Harness.Offer[] {
            offer("aeron", "Aeron IPC, exclusive publications", false),
            offer("aeron-shared", "Aeron IPC, shared publication", true),
        };
    }
}
