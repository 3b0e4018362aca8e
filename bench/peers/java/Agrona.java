/* SPDX-License-Identifier: Apache-2.0 */
import java.util.List;
import java.util.function.Function;
import org.agrona.BitUtil;
import org.agrona.concurrent.AtomicBuffer;
import org.agrona.concurrent.MessageHandler;
import org.agrona.concurrent.UnsafeBuffer;
import org.agrona.concurrent.ringbuffer.ManyToOneRingBuffer;
import org.agrona.concurrent.ringbuffer.OneToOneRingBuffer;
import org.agrona.concurrent.ringbuffer.RecordDescriptor;
import org.agrona.concurrent.ringbuffer.RingBuffer;
import org.agrona.concurrent.ringbuffer.RingBufferDescriptor;

/** Agrona's ring buffers of bytes, in a file that both processes have mapped, as Aeron uses them. */
final class Agrona extends Peer {
    private static final int RECORD =
        BitUtil.align(RecordDescriptor.HEADER_LENGTH + Cell.SIZE, RecordDescriptor.ALIGNMENT);
    private final RingBuffer ring;

    private Agrona(Place place, Function<AtomicBuffer, RingBuffer> make) {
        /* A message can be an eighth of the ring at most. */
        final long least = Math.max((long)Cell.usualCapacity() * RECORD, 8L * RECORD);
        final long bytes = Long.highestOneBit(2 * least - 1);

        if (bytes > 1 << 30)
            Harness.unsupported("capacity: a ring has at most 1 GiB");
        ring = make.apply(new UnsafeBuffer(Harness.map(place.path(), bytes + RingBufferDescriptor.TRAILER_LENGTH)));
    }

    @Override
    long capacity() {
        return ring.capacity() / RECORD;
    }

    @Override
    long ringBytes() {
        return ring.capacity();
    }

    @Override
    Producer producer(int number) {
        final RingBuffer ring = this.ring;
        final long memory = ring.buffer().addressOffset();

        return (n, count) -> {
            final int at = ring.tryClaim(1, Cell.SIZE);
            if (at < 0)
                return 0;
            Words.write(memory + at, n);
            ring.commit(at);
            return 1;
        };
    }

    @Override
    Consumer consumer(int number, Reader reader) {
        final RingBuffer ring = this.ring;
        final MessageHandler handler =
            (type, buffer, index, length) -> reader.use(buffer.addressOffset() + index);

        return max -> ring.read(handler, max);
    }

    private static Harness.Offer offer(String impl, String name, int publishers,
                                       Function<AtomicBuffer, RingBuffer> make) {
        return new Harness.Offer(impl, name, Harness.version(RingBuffer.class), "processes", publishers, 1,
                                 List.of("single", "loan"), List.of("spin", "pause", "gather"),
                                 List.of("names", "crash safety", "loss reports", "wake-up"),
                                 "mapped files, tryClaim and commit, read with a limit of 256, "
                                     + "bounds checks off; SerialGC",
                                 place -> new Agrona(place, make));
    }

    static Harness.Offer[] offers() {
        return new Harness.Offer[] {
            offer("agrona-1to1", "Agrona OneToOneRingBuffer", 1, OneToOneRingBuffer::new),
            offer("agrona-nto1", "Agrona ManyToOneRingBuffer", 32, ManyToOneRingBuffer::new),
        };
    }
}
