/* SPDX-License-Identifier: Apache-2.0 */
import java.lang.reflect.Field;
import sun.misc.Unsafe;

/** Messages: words that count up. Eight at a time, so that the loops cost little beside the memory they go over. */
final class Words {
    static final Unsafe UNSAFE;
    private static final int WORDS = Cell.SIZE / 8;

    static {
        try {
            final Field field = Unsafe.class.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            UNSAFE = (Unsafe)field.get(null);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    static void write(long address, long n) {
        if (WORDS < 8) {
            for (int i = 0; i < WORDS; i++)
                UNSAFE.putLong(address + 8 * i, n + i);
            return;
        }
        for (int i = 0; i < WORDS; i += 8) {
            final long at = address + 8L * i, m = n + i;
            UNSAFE.putLong(at, m);
            UNSAFE.putLong(at + 8, m + 1);
            UNSAFE.putLong(at + 16, m + 2);
            UNSAFE.putLong(at + 24, m + 3);
            UNSAFE.putLong(at + 32, m + 4);
            UNSAFE.putLong(at + 40, m + 5);
            UNSAFE.putLong(at + 48, m + 6);
            UNSAFE.putLong(at + 56, m + 7);
        }
    }

    static long sum(long address) {
        long a = 0, b = 0, c = 0, d = 0;

        if (WORDS < 8) {
            for (int i = 0; i < WORDS; i++)
                a += UNSAFE.getLong(address + 8 * i);
            return a;
        }
        for (int i = 0; i < WORDS; i += 8) {
            final long at = address + 8L * i;
            a += UNSAFE.getLong(at) + UNSAFE.getLong(at + 32);
            b += UNSAFE.getLong(at + 8) + UNSAFE.getLong(at + 40);
            c += UNSAFE.getLong(at + 16) + UNSAFE.getLong(at + 48);
            d += UNSAFE.getLong(at + 24) + UNSAFE.getLong(at + 56);
        }
        return a + b + c + d;
    }

    static void write(long[] message, long n) {
        if (WORDS < 8) {
            for (int i = 0; i < WORDS; i++)
                message[i] = n + i;
            return;
        }
        for (int i = 0; i < WORDS; i += 8) {
            final long m = n + i;
            message[i] = m;
            message[i + 1] = m + 1;
            message[i + 2] = m + 2;
            message[i + 3] = m + 3;
            message[i + 4] = m + 4;
            message[i + 5] = m + 5;
            message[i + 6] = m + 6;
            message[i + 7] = m + 7;
        }
    }

    static long sum(long[] message) {
        long a = 0, b = 0, c = 0, d = 0;

        if (WORDS < 8) {
            for (int i = 0; i < WORDS; i++)
                a += message[i];
            return a;
        }
        for (int i = 0; i < WORDS; i += 8) {
            a += message[i] + message[i + 4];
            b += message[i + 1] + message[i + 5];
            c += message[i + 2] + message[i + 6];
            d += message[i + 3] + message[i + 7];
        }
        return a + b + c + d;
    }

    /** The sum over the messages first .. first + count - 1. */
    static long sumOf(long first, long count) {
        final long pairs = count % 2 == 0 ? count / 2 * (count - 1) : (count - 1) / 2 * count;

        return WORDS * (first * count + pairs) + count * ((long)WORDS * (WORDS - 1) / 2);
    }

    private Words() {}
}
