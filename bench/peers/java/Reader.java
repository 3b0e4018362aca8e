/* SPDX-License-Identifier: Apache-2.0 */
import org.HdrHistogram.Histogram;

/**
 * What a consumer does with each message. One class for all cases, not one each, so that the compiler knows which one
 * it is and puts it into the peer's loop.
 */
final class Reader {
    static final long LONGEST = 60_000_000_000L;

    long sum;
    long first; /* word of the last message, in round trips */
    final Histogram hist = new Histogram(1, LONGEST, 3);

    void use(long address) {
        if (Cell.ONEWAY || Cell.RTT)
            look(Words.UNSAFE.getLong(address));
        sum += Words.sum(address);
    }

    void use(long[] message) {
        if (Cell.ONEWAY || Cell.RTT)
            look(message[0]);
        sum += Words.sum(message);
    }

    private void look(long word) {
        if (Cell.RTT)
            first = word;
        else if (word != 0)
            sample(System.nanoTime() - word);
    }

    void sample(long ns) {
        hist.recordValue(Math.max(0, Math.min(LONGEST, ns)));
    }
}
