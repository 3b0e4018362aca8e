/* SPDX-License-Identifier: Apache-2.0 */
import com.lmax.disruptor.AlertException;
import com.lmax.disruptor.BusySpinWaitStrategy;
import com.lmax.disruptor.EventPoller;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.SequenceBarrier;
import com.lmax.disruptor.TimeoutBlockingWaitStrategy;
import com.lmax.disruptor.TimeoutException;
import com.lmax.disruptor.dsl.ProducerType;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** LMAX Disruptor: events that are arrays of words, filled and read in place, between threads. */
final class Disruptor extends Peer {
    private static final boolean BLOCK = Cell.WAIT.equals("block");
    private static final long MOST_BYTES = 512 << 20; /* half of the heap */
    private final RingBuffer<long[]> ring;

    private Disruptor(ProducerType producers) {
        if ((long)Cell.usualCapacity() * Cell.SIZE > MOST_BYTES)
            Harness.unsupported("capacity: at most 512 MiB of messages");
        ring = RingBuffer.create(producers, () -> new long[Cell.SIZE / 8], Cell.usualCapacity(),
                                 BLOCK ? new TimeoutBlockingWaitStrategy(100, TimeUnit.MILLISECONDS)
                                       : new BusySpinWaitStrategy());
    }

    @Override
    long capacity() {
        return ring.getBufferSize();
    }

    @Override
    long ringBytes() {
        return capacity() * (4 + 16 + Cell.SIZE); /* a reference, an array's header */
    }

    @Override
    Producer producer(int number) {
        final RingBuffer<long[]> ring = this.ring;
        final int most = ring.getBufferSize();

        return (n, wanted) -> {
            final int count = Math.min(wanted, most);
            /* next() would sleep when the ring is full, and tryNext() throws. */
            if (!ring.hasAvailableCapacity(count))
                return 0;
            if (count == 1) {
                final long at = ring.next();
                Words.write(ring.get(at), n);
                ring.publish(at);
                return 1;
            }
            final long last = ring.next(count), first = last - count + 1;
            for (int i = 0; i < count; i++)
                Words.write(ring.get(first + i), n + i);
            ring.publish(first, last);
            return count;
        };
    }

    @Override
    Consumer consumer(int number, Reader reader) {
        return new Poller(ring, reader);
    }

    private static final class Poller implements Consumer, EventPoller.Handler<long[]> {
        private final EventPoller<long[]> poller;
        private final SequenceBarrier barrier;
        private final Reader reader;
        private int taken;
        private boolean one;

        Poller(RingBuffer<long[]> ring, Reader reader) {
            poller = ring.newPoller();
            ring.addGatingSequences(poller.getSequence());
            barrier = ring.newBarrier();
            this.reader = reader;
        }

        @Override
        public boolean onEvent(long[] event, long sequence, boolean endOfBatch) {
            reader.use(event);
            taken++;
            return !one;
        }

        /* All there is: with several producers, a poll looks for all of it anyhow. */
        @Override
        public int take(int max) {
            taken = 0;
            one = max == 1;
            try {
                poller.poll(this);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            return taken;
        }

        @Override
        public void block() {
            try {
                barrier.waitFor(poller.getSequence().get() + 1);
            } catch (TimeoutException e) {
                return; /* nothing came */
            } catch (AlertException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static Harness.Offer offer(String impl, String name, ProducerType producers, int publishers) {
        return new Harness.Offer(
            impl, name, Harness.version(RingBuffer.class), "threads", publishers, 32, List.of("single", "batch"),
            List.of("spin", "pause", "gather", "block"),
            List.of("names", "crash safety", "loss reports", "variable length"),
            "events are long[], EventPoller, all there is in a poll; block: TimeoutBlockingWaitStrategy; SerialGC",
            place -> new Disruptor(producers));
    }

    static Harness.Offer[] offers() {
        return new Harness.Offer[] {
            offer("disruptor", "LMAX Disruptor, one producer", ProducerType.SINGLE, 1),
            offer("disruptor-mp", "LMAX Disruptor, several producers", ProducerType.MULTI, 32),
        };
    }
}
