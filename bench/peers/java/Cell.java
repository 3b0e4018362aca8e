/* SPDX-License-Identifier: Apache-2.0 */

/**
 * What is measured, from the command line. All of it is static and final, so that to the compiler it is constant: it
 * then does for each message what it would do for a class with so many fields.
 */
final class Cell {
    static final String CASE, IMPL, HOW, WAIT;
    static final int SIZE, BATCH, CAPACITY, PUBLISHERS, SUBSCRIBERS;
    static final int[] CPUS;
    static final double RATE;
    static final boolean ONEWAY, RTT;

    static {
        final String[] words = Harness.words;
        String impl = "", how = "single", wait = "pause";
        int size = 8, batch = 1, capacity = 0, publishers = 1, subscribers = 1;
        double rate = 0;
        int[] cpus = {0, 1};

        final boolean describe = words.length == 1 && words[0].equals("describe"); /* nothing is measured then */
        if (words.length == 0
            || !describe && !java.util.List.of("throughput", "rtt", "oneway", "idle").contains(words[0]))
            Harness.fail((words.length == 0 ? "a case is missing" : "'" + words[0] + "'")
                         + ": throughput, rtt, oneway or idle expected");
        for (int i = 1; i < words.length; i++) {
            final int at = words[i].indexOf('=');
            if (at < 0)
                Harness.fail("'" + words[i] + "': KEY=VALUE expected");
            final String key = words[i].substring(0, at), value = words[i].substring(at + 1);
            switch (key) {
            case "impl" -> impl = value;
            case "how" -> how = one(key, value, "single", "batch", "loan");
            case "wait" -> wait = one(key, value, "spin", "pause", "gather", "block");
            case "size" -> size = Integer.parseInt(
                one(key, value, "8", "32", "64", "256", "1024", "4096", "65536", "1048576"));
            case "batch" -> batch = number(key, value, 1, 65536);
            case "capacity" -> capacity = number(key, value, 0, 1 << 30);
            case "publishers" -> publishers = number(key, value, 1, 32);
            case "subscribers" -> subscribers = number(key, value, 1, 32);
            case "rate" -> rate = number(key, value, 1, 1000000000);
            case "cpus" -> {
                final String[] two = value.split(",", -1);
                if (two.length != 2)
                    Harness.fail("cpus=" + value + ": two CPUs expected");
                cpus = new int[] {number(key, two[0], 0, 4095), number(key, two[1], 0, 4095)};
            }
            default -> Harness.fail(words[i] + ": see bench/README.md for what is expected");
            }
        }
        if (words[0].equals("oneway") && rate <= 0)
            Harness.fail("oneway: rate=MESSAGES_PER_SECOND is missing");
        if (!how.equals("batch") && batch != 1)
            Harness.fail("batch=" + batch + ": how=batch is missing");
        if (Integer.bitCount(capacity) > 1)
            Harness.fail("capacity=" + capacity + ": a power of two expected");
        CASE = words[0];
        IMPL = impl;
        HOW = how;
        WAIT = wait;
        SIZE = size;
        BATCH = batch;
        CAPACITY = capacity;
        PUBLISHERS = publishers;
        SUBSCRIBERS = subscribers;
        CPUS = cpus;
        RATE = rate;
        ONEWAY = CASE.equals("oneway");
        RTT = CASE.equals("rtt");
    }

    /** 65536 messages, but not more than 8 MiB of them and not fewer than 8. */
    static int usualCapacity() {
        return CAPACITY != 0 ? CAPACITY : Math.max(8, Math.min(65536, (8 << 20) / SIZE));
    }

    private static String one(String key, String value, String... expected) {
        if (!java.util.List.of(expected).contains(value))
            Harness.fail(key + "=" + value + ": one of " + String.join(", ", expected) + " expected");
        return value;
    }

    private static int number(String key, String value, int min, int max) {
        if (value.matches("[0-9]{1,10}")) {
            final long n = Long.parseLong(value);
            if (n >= min && n <= max)
                return (int)n;
        }
        Harness.fail(key + "=" + value + ": a number from " + min + " to " + max + " expected");
        return 0;
    }

    private Cell() {}
}
