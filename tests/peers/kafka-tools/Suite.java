import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/** What the checks share: the broker, names of this run, clients, and the counts of what passed. */
final class Suite {
    static final String BROKER = System.getenv("BOOTSTRAP");
    static final Path WORK = Path.of(System.getenv("WORK"));
    static final boolean FULL = "1".equals(System.getenv("FULL"));
    private static final String RUN = Long.toString(System.currentTimeMillis() % 100_000_000, 36);

    static int passed;
    static int failed;
    static int leftOut;
    private static Tools.Outcome versions;

    private Suite() {
    }

    /** A checked action. */
    interface Body {
        void run() throws Exception;
    }

    /** A checked condition. */
    interface Condition {
        boolean holds() throws Exception;
    }

    /** Runs `body`; what it throws is a failed check. */
    static void section(String name, Body body) {
        String wanted = System.getenv("CHECKS");
        if (wanted != null && !Arrays.asList(wanted.split(",")).contains(name)) {
            return;
        }
        long start = System.nanoTime();
        try {
            body.run();
        } catch (Throwable e) {
            java.io.StringWriter trace = new java.io.StringWriter();
            e.printStackTrace(new java.io.PrintWriter(trace));
            that(name + " comes to its end", false, trace);
        }
        Tools.OUT.printf(Locale.ROOT, "%s: %.1f s%n", name, (System.nanoTime() - start) / 1e9);
    }

    /** A check of `good`; `detail` is shown if it fails. */
    static void that(String name, boolean good, Object detail) {
        if (good) {
            passed++;
            return;
        }
        failed++;
        String text = String.valueOf(detail);
        Tools.OUT.println("FAILED " + name);
        text.lines().limit(25).forEach(line -> Tools.OUT.println("    " + line));
    }

    /** What of Kafka is not asked of the broker. */
    static void leftOut(String name, String reason) {
        leftOut++;
        Tools.OUT.println("left out " + name + ": " + reason);
    }

    /** A check that `outcome` is a success and matches every pattern (line by line). */
    static void ok(String name, Tools.Outcome outcome, String... patterns) {
        expect(name, outcome, outcome.code() == 0, patterns);
    }

    /** A check that `outcome` is a failure and matches every pattern. */
    static void refused(String name, Tools.Outcome outcome, String... patterns) {
        expect(name, outcome, outcome.code() > 0, patterns);
    }

    private static void expect(String name, Tools.Outcome outcome, boolean code, String... patterns) {
        for (String pattern : patterns) {
            if (!Pattern.compile(pattern, Pattern.MULTILINE).matcher(outcome.out()).find()) {
                that(name, false, "no match of /" + pattern + "/, exit code " + outcome.code() + ":\n" + outcome.out());
                return;
            }
        }
        that(name, code, "exit code " + outcome.code() + ":\n" + outcome.out());
    }

    /** A check that `condition` holds within ten seconds. */
    static void soon(String name, Condition condition) throws Exception {
        long end = System.nanoTime() + Duration.ofSeconds(10).toNanos();
        boolean good = false;
        while (!good && System.nanoTime() < end) {
            good = condition.holds();
            if (!good) {
                Thread.sleep(50);
            }
        }
        that(name, good, "not within ten seconds");
    }

    /** A name of this run: many runs may share a broker. */
    static String named(String name) {
        return name + "-" + RUN;
    }

    /** A file in the work folder. */
    static String file(String name, String content) throws Exception {
        return Files.writeString(WORK.resolve(name), content).toString();
    }

    /** Whether the broker offers a version of an API that Kafka 4.2 has; if not, the check of it is left out. */
    static boolean offers(String api, int version) throws Exception {
        if (versions == null) {
            versions = Tools.run("broker-api-versions", "--bootstrap-server", BROKER);
        }
        boolean offered = !versions.lines("\\b" + api + "\\(\\d+\\): .*\\[usable: " + version + "\\]").isEmpty();
        if (!offered) {
            leftOut("what needs version " + version + " of " + api, "the broker does not offer it");
        }
        return offered;
    }

    /** Client settings that wait three seconds for what is not there. */
    static String impatient() throws Exception {
        return file("impatient.properties", "default.api.timeout.ms=3000\nrequest.timeout.ms=2000\n");
    }

    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", BROKER));
    }

    /** Makes a topic and waits until it is there. */
    static String topic(String name, int partitions, String... configs) throws Exception {
        List<String> arguments = new ArrayList<>(List.of("--bootstrap-server", BROKER, "--create", "--topic", named(name),
            "--partitions", "" + partitions, "--replication-factor", "1"));
        for (String config : configs) {
            arguments.addAll(List.of("--config", config));
        }
        Tools.Outcome made = Tools.run("topics", arguments.toArray(String[]::new));
        if (made.code() != 0) {
            throw new IllegalStateException("topic " + name + ": " + made.out());
        }
        try (Admin admin = admin()) {
            Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
            for (int partition = 0; partition < partitions; partition++) {
                ends.put(new TopicPartition(named(name), partition), OffsetSpec.latest());
            }
            admin.listOffsets(ends).all().get();
        }
        return named(name);
    }

    static KafkaProducer<String, String> producer(String... settings) {
        Map<String, Object> all = settings(settings);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String... settings) {
        Map<String, Object> all = settings(settings);
        all.putIfAbsent("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    private static Map<String, Object> settings(String... settings) {
        Map<String, Object> all = new HashMap<>();
        all.put("bootstrap.servers", BROKER);
        for (String setting : settings) {
            String[] pair = setting.split("=", 2);
            all.put(pair[0], pair[1]);
        }
        return all;
    }

    /** Writes `count` records "k0 → v0", … to a partition. */
    static void fill(String topic, int partition, int count) throws Exception {
        try (KafkaProducer<String, String> producer = producer("linger.ms=5")) {
            Future<RecordMetadata> last = null;
            for (int i = 0; i < count; i++) {
                last = producer.send(new ProducerRecord<>(topic, partition, "k" + i, "v" + i));
            }
            producer.flush();
            if (last != null) {
                last.get();
            }
        }
    }

    /** Commits offsets for a group that has no members. */
    static void commit(String group, Map<TopicPartition, Long> offsets) {
        try (KafkaConsumer<String, String> consumer = consumer("group.id=" + group)) {
            Map<TopicPartition, OffsetAndMetadata> all = new HashMap<>();
            offsets.forEach((partition, offset) -> all.put(partition, new OffsetAndMetadata(offset)));
            consumer.commitSync(all);
        }
    }
}
