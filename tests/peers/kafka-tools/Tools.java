import java.io.*;
import java.lang.reflect.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.common.utils.Exit;

/**
 * Calls the mains of Kafka's command-line tools in this JVM, one after the other: what they print is kept, what they would
 * end the process with is returned.
 */
final class Tools {
    /** What a tool ended with and what it printed on both streams. */
    record Outcome(int code, String out) {
        /** The lines that match `pattern`. */
        List<String> lines(String pattern) {
            var compiled = java.util.regex.Pattern.compile(pattern);
            return out.lines().filter(line -> compiled.matcher(line).find()).collect(Collectors.toList());
        }
    }

    /** Thrown where a tool would end the process. */
    private static final class Exited extends Error {
        Exited() {
            super("exit", null, false, false);
        }
    }

    /** Both streams of the process, so that what took them at its start (Scala's console) is caught as well. */
    private static final class Switch extends OutputStream {
        volatile OutputStream target;
        /** What this thread prints is lost: it unwinds from where its process would have ended. */
        volatile Thread ended;

        @Override
        public void write(int b) throws IOException {
            if (Thread.currentThread() != ended) {
                target.write(b);
            }
        }

        @Override
        public void write(byte[] b, int from, int length) throws IOException {
            if (Thread.currentThread() != ended) {
                target.write(b, from, length);
            }
        }
    }

    private static final int LIMIT_SECONDS = 120;
    private static final Map<String, String> CLASSES = Map.ofEntries(
        Map.entry("topics", "TopicCommand"), Map.entry("configs", "kafka.admin.ConfigCommand"),
        Map.entry("console-producer", "ConsoleProducer"), Map.entry("console-consumer", "consumer.ConsoleConsumer"),
        Map.entry("consumer-groups", "consumer.group.ConsumerGroupCommand"), Map.entry("groups", "GroupsCommand"),
        Map.entry("transactions", "TransactionsCommand"), Map.entry("delete-records", "DeleteRecordsCommand"),
        Map.entry("get-offsets", "GetOffsetShell"), Map.entry("log-dirs", "LogDirsCommand"),
        Map.entry("cluster", "ClusterTool"), Map.entry("broker-api-versions", "BrokerApiVersionsCommand"),
        Map.entry("producer-perf-test", "ProducerPerformance"), Map.entry("consumer-perf-test", "ConsumerPerformance"),
        Map.entry("verifiable-producer", "VerifiableProducer"), Map.entry("verifiable-consumer", "VerifiableConsumer"),
        Map.entry("transactional-message-copier", "TransactionalMessageCopier"),
        Map.entry("e2e-latency", "EndToEndLatency"), Map.entry("streams-application-reset", "StreamsResetter"),
        Map.entry("replica-verification", "ReplicaVerificationTool"),
        Map.entry("client-compatibility-test", "ClientCompatibilityTest"));

    /** The output of the process itself. */
    static final PrintStream OUT = System.out;
    private static final Switch STREAM = new Switch();
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "tool");
        thread.setDaemon(true);
        return thread;
    });
    /** What a tool leaves to the end of its process. */
    private static final Queue<Runnable> HOOKS = new ConcurrentLinkedQueue<>();
    private static final int SLOW_SECONDS = 8;
    private static volatile Integer code;

    private Tools() {
    }

    /** To be called before any class of a tool is loaded. */
    static void take() {
        org.slf4j.LoggerFactory.getLogger(Tools.class).debug("the log has the true standard error from here on");
        STREAM.target = OUT;
        PrintStream stream = new PrintStream(STREAM, true, StandardCharsets.UTF_8);
        System.setOut(stream);
        System.setErr(stream);
        Exit.setExitProcedure(Tools::exit);
        Exit.setHaltProcedure(Tools::exit);
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
    }

    private static void exit(int status, String message) {
        if (code == null) {
            code = status;
            STREAM.ended = Thread.currentThread();
        }
        throw new Exited();
    }

    /** The hooks of the JVM itself: some tools pass Kafka's `Exit` by. */
    @SuppressWarnings("unchecked")
    private static Set<Thread> runtimeHooks() throws Exception {
        Field field = Class.forName("java.lang.ApplicationShutdownHooks").getDeclaredField("hooks");
        field.setAccessible(true);
        return new HashSet<>(((Map<Thread, Thread>) field.get(null)).keySet());
    }

    /** Runs `tool` with nothing on its standard input. */
    static Outcome run(String tool, String... arguments) throws Exception {
        return fed("", tool, arguments);
    }

    /** Runs `tool` with `input` on its standard input. */
    static Outcome fed(String input, String tool, String... arguments) throws Exception {
        String name = Objects.requireNonNull(CLASSES.get(tool), tool);
        Class<?> type = Class.forName(name.startsWith("kafka.") ? name : "org.apache.kafka.tools." + name);
        Method main = type.getMethod("main", String[].class);
        if (tool.equals("console-consumer")) {
            Field count = type.getDeclaredField("messageCount");
            count.setAccessible(true);
            count.setInt(null, 0);
        }
        ByteArrayOutputStream kept = new ByteArrayOutputStream();
        InputStream stdin = System.in;
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        STREAM.target = kept;
        code = null;
        Set<Thread> before = runtimeHooks();
        long start = System.nanoTime();
        Future<Integer> done = THREADS.submit(() -> {
            int ended = 0;
            try {
                main.invoke(null, (Object) arguments);
            } catch (InvocationTargetException e) {
                ended = 1;
                e.getCause().printStackTrace();
            }
            ended = code == null ? ended : code;
            STREAM.ended = null;
            if (tool.startsWith("verifiable")) {
                for (Thread hook : runtimeHooks()) {
                    if (!before.contains(hook) && Runtime.getRuntime().removeShutdownHook(hook)) {
                        hook.run();
                    }
                }
            }
            for (Runnable hook; (hook = HOOKS.poll()) != null;) {
                hook.run();
            }
            return ended;
        });
        int status;
        try {
            status = done.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            done.cancel(true);
            kept.writeBytes(("\nnot done after " + LIMIT_SECONDS + " s").getBytes(StandardCharsets.UTF_8));
            status = -1;
        } finally {
            STREAM.target = OUT;
            System.setIn(stdin);
            HOOKS.clear();
        }
        long seconds = (System.nanoTime() - start) / 1_000_000_000;
        if (seconds >= SLOW_SECONDS) {
            OUT.println("slow: " + seconds + " s: " + tool + " " + String.join(" ", arguments));
        }
        return new Outcome(status, kept.toString(StandardCharsets.UTF_8));
    }
}
