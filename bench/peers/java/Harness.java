/* SPDX-License-Identifier: Apache-2.0 */
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramIterationValue;

/**
 * What all Java adapters share: the protocol (bench/README.md), roles and how they start together, waiting, pinning.
 * Producers are threads of this process; consumers are threads of it, too, or of a second one (between: processes),
 * which is the same program with BENCH_PLACE in its environment and is told what to do on its standard input.
 */
final class Harness {
    /** An implementation; make: its Peer at a place. */
    record Offer(String impl, String name, String version, String between, int publishers, int subscribers,
                 List<String> how, List<String> waits, List<String> lacks, String settings,
                 Function<Peer.Place, Peer> make) {
        private static String list(List<String> words) {
            return words.isEmpty() ? "[]" : "[\"" + String.join("\", \"", words) + "\"]";
        }

        String describe() {
            final List<String> lacks = new ArrayList<>(this.lacks);

            if (between.equals("threads"))
                lacks.add("processes");
            if (publishers == 1)
                lacks.add("several publishers");
            if (subscribers == 1)
                lacks.add("several subscribers");
            return "{\"impl\": \"" + impl + "\", \"name\": \"" + name + "\", \"version\": \"" + version
                + "\", \"language\": \"Java\", \"between\": \"" + between + "\", \"publishers\": " + publishers
                + ", \"subscribers\": " + subscribers + ", \"how\": " + list(how) + ", \"waits\": " + list(waits)
                + ", \"cases\": [\"throughput\", \"rtt\", \"oneway\", \"idle\"], \"lacks\": " + list(lacks)
                + ", \"settings\": \"" + settings + "; warmed up for a second before it is ready; "
                + "one-way times by System.nanoTime(), whose cost they include\"}";
        }
    }

    static String[] words; /* of the command line; Cell makes something of them */

    private static final long CHUNK_BYTES = 4 << 20;
    private static final long LOST_AFTER_NS = 1_000_000_000;
    private static final double SAMPLES_PER_S = 1e6; /* oneway: above this rate not every message is a sample */
    private static final int AUTHOR_SHIFT = 48;

    /* Shared memory: words that are 128 bytes apart. */
    private static final VarHandle WORD = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());
    private static final int LINE = 128, ARRIVED = 0, RUN = 1, START = 2, PRODUCING = 3, SENT = 4, SUM = 5,
                             SECONDS = 6, ROLE = 7, RECEIVED = 0, ROLE_SUM = 8, LAST = 16;
    private static final int ROLES_MAX = 64;

    private static Path place;
    private final ByteBuffer arena;
    private final boolean processes, second; /* second: we are the consumers' process */
    private final int roles = Cell.PUBLISHERS + Cell.SUBSCRIBERS;
    private final Peer there, back; /* back: for round trips only */
    private final Semaphore[] go = new Semaphore[ROLES_MAX];
    private final Semaphore done = new Semaphore(0);
    private final Reader[] readers = new Reader[ROLES_MAX];

    /* ---- the end ---- */

    static void fail(String text) {
        System.out.println("{\"error\": \"" + text.replaceAll("[\"\\\\\\p{Cntrl}]", "'") + "\"}");
        System.out.flush();
        System.exit(1);
    }

    static void fail(Throwable e) {
        fail(e.getMessage() == null ? e.toString() : e.getClass().getSimpleName() + ": " + e.getMessage());
    }

    static void unsupported(String why) {
        System.out.println("{\"unsupported\": \"" + why + "\"}");
        System.exit(0);
    }

    private static void delete(Path path) {
        if (Files.isDirectory(path)) {
            try (DirectoryStream<Path> all = Files.newDirectoryStream(path)) {
                all.forEach(Harness::delete);
            } catch (IOException e) {
                return; /* the other process was faster */
            }
        }
        path.toFile().delete();
    }

    /** By whichever process sees the end of the other: nothing is left even of one that was killed. */
    private static void clean() {
        for (int i = 0; place != null && Files.exists(place) && i < 5; i++)
            delete(place);
    }

    /* ---- the command line ---- */

    /** A version as in the name of the jar that the class is from. */
    static String version(Class<?> of) {
        final String jar = new File(of.getProtectionDomain().getCodeSource().getLocation().getPath()).getName();

        return jar.substring(jar.lastIndexOf('-') + 1, jar.length() - ".jar".length());
    }

    /** The first word is the class of the peer, whose offers() says what there is. */
    public static void main(String[] args) throws ReflectiveOperationException {
        words = Arrays.copyOfRange(args, 1, args.length);
        final Offer[] offers = (Offer[])Class.forName(args[0]).getDeclaredMethod("offers").invoke(null);

        if (words.length == 1 && words[0].equals("describe")) {
            for (final Offer offer : offers)
                System.out.println(offer.describe());
            return;
        }
        final String impl = Cell.IMPL;
        for (final Offer offer : offers) {
            if (!offer.impl.equals(impl))
                continue;
            try {
                check(offer);
                new Harness(offer).run();
            } catch (IOException | InterruptedException | RuntimeException | Error e) {
                fail(e);
            }
            System.exit(0); /* roles, and threads of the peer's, are still there */
        }
        fail("impl=" + impl + ": see 'describe' for what this adapter offers");
    }

    private static void check(Offer offer) {
        if ((Cell.RTT || Cell.ONEWAY) && (Cell.PUBLISHERS != 1 || Cell.SUBSCRIBERS != 1))
            unsupported("one publisher and one subscriber only");
        if (Cell.PUBLISHERS > offer.publishers)
            unsupported("publishers: at most " + offer.publishers);
        if (Cell.SUBSCRIBERS > offer.subscribers)
            unsupported("subscribers: at most " + offer.subscribers);
        if (!offer.how.contains(Cell.HOW))
            unsupported("how: " + String.join(", ", offer.how) + " only");
        if (!offer.waits.contains(Cell.WAIT))
            unsupported("wait: " + String.join(", ", offer.waits) + " only");
    }

    private Harness(Offer offer) throws IOException {
        final String known = System.getenv("BENCH_PLACE");

        processes = offer.between.equals("processes");
        second = known != null;
        if (processes) {
            place = Path.of(second ? known : "/dev/shm/bench-java-" + ProcessHandle.current().pid());
            Runtime.getRuntime().addShutdownHook(new Thread(Harness::clean));
            if (!second)
                Files.createDirectory(place);
            arena = map(place.resolve("arena").toString(), LINE * (ROLE + ROLES_MAX));
        } else {
            arena = ByteBuffer.allocateDirect(LINE * (ROLE + ROLES_MAX + 1)).alignedSlice(LINE);
        }
        there = offer.make.apply(new Peer.Place(place + "/there", 1, !second));
        back = Cell.RTT ? offer.make.apply(new Peer.Place(place + "/back", 2, !second)) : null;
    }

    /** Shared memory of that name, touched by whoever makes it. */
    static ByteBuffer map(String path, long bytes) {
        try (FileChannel file = FileChannel.open(Path.of(path), StandardOpenOption.READ, StandardOpenOption.WRITE,
                                                 StandardOpenOption.CREATE)) {
            final ByteBuffer memory = file.map(FileChannel.MapMode.READ_WRITE, 0, bytes);
            for (int i = 0; i < bytes; i += 4096)
                WORD.getAndAdd(memory, i, 0L);
            return memory;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /* ---- shared words ---- */

    private long load(int word) {
        return (long)WORD.getAcquire(arena, word * LINE);
    }

    private void store(int word, long value) {
        WORD.setRelease(arena, word * LINE, value);
    }

    private long add(int word, long value) {
        return (long)WORD.getAndAdd(arena, word * LINE, value) + value;
    }

    private long ofRole(int role, int field) {
        return (long)WORD.getAcquire(arena, (ROLE + role) * LINE + field);
    }

    private void ofRole(int role, int field, long value) {
        WORD.setRelease(arena, (ROLE + role) * LINE + field, value);
    }

    private long end() {
        return load(START) + (long)(Double.longBitsToDouble(load(SECONDS)) * 1e9);
    }

    /* ---- waiting ---- */

    /**
     * While there is nothing to do. got: messages since the last call. gather is what aether_idle() does, with a budget
     * of 20 us: under load it pauses, so that messages gather, for as long as they come faster that way, which it tries.
     */
    private final class Idler {
        private static final double LOAD = 4e-3, FIRST_GAIN = 1.25, GAIN = 1.1; // messages a nanosecond; factors
        private static final long BUDGET_NS = 20_000, WINDOW_NS = 4 * BUDGET_NS, PATIENCE = 64, PATIENCE_MAX = 4096;
        private static final int LEVELS = 3, LEVEL_SHIFT = 2;
        private final boolean spin = Cell.WAIT.equals("spin"), block = Cell.WAIT.equals("block"),
                              gather = Cell.WAIT.equals("gather") && !Cell.RTT;
        private long since, count, windows, patience;
        private double before;
        private int level, tried, first = LEVELS;
        private boolean loaded, up;

        void idle(Peer.Consumer consumer, long got) {
            if (block)
                consumer.block();
            else if (roles > 2 && got == 0)
                Thread.yield();
            else if (!spin)
                pause(gather && got > 0 ? length(got) : 0);
        }

        private void weigh(double rate) {
            if (tried == level) {
                if (windows != 0)
                    windows--;
                else {
                    before = rate;
                    tried = level == 0 ? first : up && level != LEVELS ? level + 1 : level - 1;
                }
                return;
            }
            if (rate > (tried > level ? before * (level == 0 ? FIRST_GAIN : GAIN) : before / GAIN)) {
                up = tried > level && level != 0;
                level = tried;
                first = LEVELS;
                patience = 0;
                return;
            }
            if (level == 0)
                first = tried > 1 ? tried - 1 : LEVELS;
            up = !up;
            tried = level;
            patience = Math.min(PATIENCE_MAX, patience * 2 + PATIENCE);
            windows = patience;
        }

        private long length(long got) {
            final long now = System.nanoTime(), elapsed = now - since;

            count += got;
            if (elapsed >= WINDOW_NS) {
                final double rate = (double)count / elapsed;
                loaded = rate > LOAD;
                if (loaded)
                    weigh(rate);
                else {
                    tried = level;
                    if (level != 0)
                        windows = 0;
                }
                since = now;
                count = 0;
            }
            return loaded && tried != 0 ? BUDGET_NS >> LEVEL_SHIFT * (LEVELS - tried) : 0;
        }

        private void pause(long length) {
            final long start = length != 0 ? System.nanoTime() : 0;

            do
                Thread.onSpinWait();
            while (length != 0 && System.nanoTime() - start < length);
        }
    }

    private void noRoom() {
        if (roles > 2 || Cell.WAIT.equals("block"))
            Thread.yield();
        else if (!Cell.WAIT.equals("spin"))
            Thread.onSpinWait();
    }

    /** All have woken up and are on their cores before the first message. */
    private void meet(long run) {
        if (add(ARRIVED, 1) == run * roles) {
            store(START, System.nanoTime());
            store(RUN, run);
        }
        for (int i = 0; load(RUN) != run; i++) {
            Thread.onSpinWait();
            if (i % 1024 == 1023)
                Thread.yield(); /* several roles on a core */
        }
    }

    /* ---- throughput ---- */

    private void produce(int number, Peer.Producer producer) {
        final long first = (long)number << AUTHOR_SHIFT, end = end();
        final long chunk = Math.min(CHUNK_BYTES / Cell.SIZE + 1, 1024);
        long n = first;

        do
            n = produce(producer, n, n + chunk, end);
        while (System.nanoTime() - end < 0);
        add(SUM, Words.sumOf(first, n - first));
        add(SENT, n - first);
        add(PRODUCING, -1);
    }

    private long produce(Peer.Producer producer, long from, long to, long end) {
        long n = from;

        while (n < to) {
            final int put = producer.put(n, Cell.BATCH);
            n += put;
            if (put == 0) {
                noRoom();
                if (System.nanoTime() - end > 0)
                    break;
            }
        }
        return n;
    }

    /** Until all that was sent is there, or nothing has come for a while. */
    private void consume(int role, Peer.Consumer consumer, Reader reader) {
        final Idler idler = new Idler();
        long received = 0, quiet = 0;

        reader.sum = 0;
        for (;;) {
            final long got = drain(consumer);
            received += got;
            if (load(PRODUCING) == 0) {
                if (received >= load(SENT))
                    break;
                if (got != 0 || quiet == 0)
                    quiet = System.nanoTime();
                else if (System.nanoTime() - quiet > LOST_AFTER_NS)
                    break;
            }
            if (got != 0)
                ofRole(role, LAST, System.nanoTime());
            idler.idle(consumer, got);
        }
        if (received >= load(SENT))
            ofRole(role, LAST, System.nanoTime());
        ofRole(role, RECEIVED, received);
        ofRole(role, ROLE_SUM, reader.sum);
    }

    private static long drain(Peer.Consumer consumer) {
        long all = 0;

        for (;;) {
            final int got = consumer.take(MANY);
            all += got;
            if (got < MANY) /* there is no more: it is at the producer's heels */
                return all;
        }
    }

    /* Polled messages come through a callback, as many as there are: that is how all these peers are used. */
    private static final int MANY = 256;

    /* ---- round trips ---- */

    private static void putOne(Peer.Producer producer, long n) {
        while (producer.put(n, 1) == 0)
            Thread.onSpinWait();
    }

    private static long takeOne(Peer.Consumer consumer, Reader reader, Idler idler) {
        reader.sum = 0;
        while (consumer.take(1) == 0)
            idler.idle(consumer, 0);
        if (reader.sum != Words.sumOf(reader.first, 1))
            fail("a message arrived changed");
        return reader.first;
    }

    private void ping(Peer.Producer producer, Peer.Consumer consumer, Reader reader) {
        final long end = end();
        final Idler idler = new Idler();
        long n = 1, last = System.nanoTime();

        do {
            putOne(producer, n);
            if (takeOne(consumer, reader, idler) != n)
                fail("another message came back");
            final long now = System.nanoTime();
            reader.sample(now - last);
            last = now;
            n++;
        } while (last - end < 0);
        putOne(producer, 0); /* the end */
        takeOne(consumer, reader, idler);
        store(SENT, n - 1);
        ofRole(1, RECEIVED, n - 1);
        ofRole(1, LAST, last);
    }

    private void pong(Peer.Consumer consumer, Peer.Producer producer, Reader reader) {
        final Idler idler = new Idler();
        long n;

        do {
            n = takeOne(consumer, reader, idler);
            putOne(producer, n);
        } while (n != 0);
    }

    /* ---- open loop ---- */

    private void pace(Peer.Producer producer) {
        final long start = load(START), every = samplesEvery();
        final long total = (long)(Cell.RATE * Double.longBitsToDouble(load(SECONDS)));
        final double per = 1e9 / Cell.RATE;
        long n = 0, due = 1; /* the first one is due at once */

        while (n < total) {
            n = putDue(producer, n, due, start, per, every);
            if (n == total)
                break;
            final long next = (long)(n * per);
            if (per > 100_000) { /* a slow one leaves its core to others */
                final long wait = next - (System.nanoTime() - start);
                if (wait > 200_000)
                    LockSupport.parkNanos(wait - 100_000);
            }
            long now;
            while ((now = System.nanoTime() - start) < next)
                Thread.onSpinWait();
            due = Math.min(total, (long)(now / per) + 1);
        }
        add(SENT, n);
        add(PRODUCING, -1);
    }

    private static long samplesEvery() {
        long every = 1;

        while (every < Cell.RATE / SAMPLES_PER_S)
            every *= 2;
        return every;
    }

    private static long putDue(Peer.Producer producer, long from, long due, long start, double per, long every) {
        long n = from;

        while (n < due) {
            /* The due time is the first word, and those behind it go on from there, as ever. */
            if (producer.put((n & (every - 1)) == 0 ? start + (long)(n * per) : 0, 1) == 0)
                Thread.onSpinWait();
            else
                n++;
        }
        return n;
    }

    private void waitIdle(Peer.Consumer consumer) {
        final long end = end();
        final Idler idler = new Idler();

        while (System.nanoTime() - end < 0) {
            if (consumer.take(1) != 0)
                fail("a message that nobody sent");
            idler.idle(consumer, 0);
        }
    }

    /* ---- roles ---- */

    private void be(int role) {
        final boolean producer = role < Cell.PUBLISHERS;
        final Reader reader = readers[role] = new Reader();
        Peer.Producer out = null;
        Peer.Consumer in = null;

        try {
            pin(Cell.CPUS[producer ? 0 : 1]);
            if (producer)
                out = there.producer(role);
            else
                in = there.consumer(role - Cell.PUBLISHERS, reader);
            if (Cell.RTT && producer)
                in = back.consumer(0, reader);
            else if (Cell.RTT)
                out = back.producer(0);
            done.release();
            for (long run = 1;; run++) {
                go[role].acquireUninterruptibly();
                reader.hist.reset();
                meet(run);
                runRole(role, producer, out, in, reader);
                done.release();
            }
        } catch (IOException | InterruptedException | RuntimeException | Error e) {
            fail(e);
        }
    }

    private void runRole(int role, boolean producer, Peer.Producer out, Peer.Consumer in, Reader reader) {
        switch (Cell.CASE) {
        case "rtt" -> {
            if (producer)
                ping(out, in, reader);
            else
                pong(in, out, reader);
        }
        case "idle" -> {
            if (producer)
                LockSupport.parkNanos(end() - System.nanoTime());
            else
                waitIdle(in);
        }
        default -> {
            if (!producer)
                consume(role, in, reader);
            else if (Cell.ONEWAY)
                pace(out);
            else
                produce(role, out);
        }
        }
    }

    /** There is nothing in Java for it; but the kernel tells a thread its number, and taskset does the rest. */
    private static void pin(int cpu) throws IOException, InterruptedException {
        final Path self = Files.readSymbolicLink(Path.of("/proc/thread-self"));
        final String number = self.getFileName().toString();
        final Process taskset =
            new ProcessBuilder("taskset", "-cp", "" + cpu, number).redirectErrorStream(true).start();
        final String said = new String(taskset.getInputStream().readAllBytes()).strip();

        if (taskset.waitFor() != 0)
            fail("CPU " + cpu + ": " + said);
    }

    private List<Integer> start(int from, int to) throws InterruptedException {
        final List<Integer> ours = new ArrayList<>();

        for (int role = to - 1; role >= from; role--) {
            final int number = role;
            final Thread thread = new Thread(() -> be(number), "role-" + role);
            go[role] = new Semaphore(0);
            thread.setDaemon(true);
            thread.start();
            ours.add(role);
        }
        done.acquire(ours.size());
        return ours;
    }

    private void run() throws IOException, InterruptedException {
        if (second)
            runSecond();
        else
            runFirst();
    }

    /* ---- the consumers' process ---- */

    private void runSecond() throws IOException, InterruptedException {
        final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        final List<Integer> ours = start(Cell.PUBLISHERS, roles);
        final Thread reporter = new Thread(() -> {
            for (;;) {
                System.out.println("done " + histogram(ours));
                done.acquireUninterruptibly(ours.size());
            }
        });

        reporter.setDaemon(true);
        reporter.start();
        while (in.readLine() != null)
            ours.forEach(role -> go[role].release());
    }

    private String histogram(List<Integer> ours) {
        final StringBuilder text = new StringBuilder();

        for (final int role : ours) {
            final Histogram hist = readers[role].hist;
            for (final HistogramIterationValue value : hist.recordedValues())
                text.append(text.length() == 0 ? "" : " ")
                    .append(hist.lowestEquivalentValue(value.getValueIteratedTo()))
                    .append(':')
                    .append(value.getCountAtValueIteratedTo());
        }
        return text.toString();
    }

    private Process startSecond() throws IOException {
        final List<String> command = new ArrayList<>(List.of(System.getProperty("bench.launcher")));

        command.addAll(Arrays.asList(words));
        final ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT);
        builder.environment().put("BENCH_PLACE", place.toString());
        return builder.start();
    }

    /** What it says at the end of a run; what went wrong, it has put into words itself. */
    private static void listen(BufferedReader child, Semaphore done, String[] hist) {
        try {
            for (String line; (line = child.readLine()) != null;) {
                if (line.startsWith("done ")) {
                    hist[0] = line.substring("done ".length());
                    done.release();
                    continue;
                }
                System.out.println(line);
                System.out.flush();
                System.exit(1);
            }
        } catch (IOException e) {
            fail(e);
        }
        fail("the consumers' process has ended");
    }

    /* ---- the first process ---- */

    private void runFirst() throws IOException, InterruptedException {
        final BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        final List<Integer> ours;
        final String[] hist = {""};
        Process child = null;

        if (processes) {
            child = startSecond();
            final BufferedReader from = child.inputReader();
            final Thread listener = new Thread(() -> listen(from, done, hist));
            listener.setDaemon(true);
            listener.start();
            done.acquire();
            ours = start(0, Cell.PUBLISHERS);
        } else {
            ours = start(0, roles);
        }
        warmUp(ours, child);
        report(ours, hist); /* finds errors */
        System.out.println("{\"ready\": true, \"capacity\": " + there.capacity()
                           + ", \"ring_bytes\": " + there.ringBytes() + "}");
        for (String line; (line = in.readLine()) != null;) {
            if (!line.matches("run [0-9]{1,5}(\\.[0-9]+)?"))
                fail("input: 'run SECONDS' expected");
            once(Double.parseDouble(line.substring("run ".length())), ours, child);
            System.out.println(report(ours, hist));
        }
    }

    /**
     * For times many short runs: the compiler then makes good code of whole methods, up to those that are called once a
     * run, and not of loops that it has to enter in the middle. Long ones for what happens when a ring is full.
     */
    private void warmUp(List<Integer> ours, Process child) throws IOException, InterruptedException {
        final boolean times = Cell.RTT || Cell.ONEWAY;

        for (int i = 0; times && i < 800; i++)
            once(0.001, ours, child);
        for (int i = 0; i < 4; i++)
            once(times ? 0.1 : 0.25, ours, child);
    }

    private void once(double seconds, List<Integer> ours, Process child) throws IOException, InterruptedException {
        store(SECONDS, Double.doubleToRawLongBits(seconds));
        store(PRODUCING, Cell.PUBLISHERS);
        store(SENT, 0);
        store(SUM, 0);
        for (int role = 0; role < roles; role++) {
            ofRole(role, RECEIVED, 0);
            ofRole(role, ROLE_SUM, 0);
            ofRole(role, LAST, 0);
        }
        if (child != null) {
            child.getOutputStream().write("run\n".getBytes());
            child.getOutputStream().flush();
        }
        ours.forEach(role -> go[role].release());
        done.acquire(ours.size() + (child != null ? 1 : 0));
    }

    private String report(List<Integer> ours, String[] hist) {
        final long sent = load(SENT), start = load(START);
        long received = 0, last = start, lost = 0;

        if (Cell.CASE.equals("idle"))
            return "{\"messages\": 0, \"ns\": " + (System.nanoTime() - start) + "}";
        for (int role = Cell.PUBLISHERS; role < roles; role++) {
            final long missing = sent - ofRole(role, RECEIVED);
            if (missing < 0)
                fail("more messages arrived than were sent");
            if (Cell.CASE.equals("throughput") && missing == 0 && ofRole(role, ROLE_SUM) != load(SUM))
                fail("the messages that arrived aren't those that were sent: another checksum");
            lost += missing;
            received = Math.max(received, ofRole(role, RECEIVED));
            last = Math.max(last, ofRole(role, LAST));
        }
        final String result = "{\"messages\": " + received + ", \"ns\": " + (last - start);
        if (Cell.RTT)
            return result + ", \"hist\": \"" + histogram(ours) + "\"}";
        return result + ", \"lost\": " + lost
            + (Cell.ONEWAY ? ", \"hist\": \"" + (processes ? hist[0] : histogram(ours)) + "\"}" : "}");
    }
}
