import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;

/** Feeds the application, ends it in several ways, and compares what it has written with counts of its own. */
public final class Peer {
    private static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    private static final Path WORK = Path.of(System.getenv("WORK"));
    private static final boolean FULL = "1".equals(System.getenv("FULL"));
    private static final String RUN = Long.toString(System.currentTimeMillis() % 100_000_000, 36);
    private static final Duration PATIENCE = Duration.ofSeconds(150);
    private static final int PARTITIONS = 4;
    private static final String[] EXACTLY_ONCE = {"processing.guarantee=exactly_once_v2", "commit.interval.ms=100", "statestore.cache.max.bytes=0",
        "num.stream.threads=2", "session.timeout.ms=6000", "heartbeat.interval.ms=500", "repartition.purge.interval.ms=1000",
        "producer.transaction.timeout.ms=10000"};

    private static int passed;
    private static int failed;
    private static int leftOut;

    private Peer() {
    }

    public static void main(String[] arguments) throws Exception {
        scenario("words", () -> words(BOOTSTRAP, "words-" + RUN, null));
        scenario("join", () -> join(BOOTSTRAP, "join-" + RUN));
        if (System.getenv("MILLSTREAM_BIN").isEmpty()) {
            leftOut++;
            System.out.println("left out the broker's kill: it was not started here");
        } else {
            scenario("broker", () -> {
                Broker broker = new Broker(WORK.resolve("own"));
                words(broker.address, "killed-" + RUN, broker);
                broker.stop();
            });
        }
        System.out.printf("%d passed, %d failed, %d left out%n", passed, failed, leftOut);
        System.out.flush();
        System.exit(failed == 0 ? 0 : 1);
    }

    private interface Body {
        void run() throws Exception;
    }

    private static void scenario(String name, Body body) {
        String wanted = System.getenv("SCENARIOS");
        if (wanted != null && !Arrays.asList(wanted.split(",")).contains(name)) {
            return;
        }
        long start = System.nanoTime();
        try {
            body.run();
        } catch (Throwable e) {
            e.printStackTrace(System.out);
            that(name + " comes to its end", false, e);
        }
        System.out.printf(Locale.ROOT, "%s: %.1f s%n", name, (System.nanoTime() - start) / 1e9);
    }

    private static void that(String name, boolean good, Object detail) {
        if (good) {
            passed++;
        } else {
            failed++;
            System.out.println("FAILED " + name);
            String.valueOf(detail).lines().limit(30).forEach(line -> System.out.println("    " + line));
        }
    }

    /** Exactly once: each word's counts are 1, 2, 3, … without gap or repeat, through restarts. */
    private static void words(String bootstrap, String application, Broker broker) throws Exception {
        int lines = FULL ? 25_000 : 6_000;
        String in = application + "-in";
        make(bootstrap, in, application + "-out");
        Random random = new Random(7);
        Map<String, Long> oracle = new HashMap<>();
        List<String> text = new ArrayList<>();
        for (int i = 0; i < lines; i++) {
            List<String> line = new ArrayList<>();
            for (int j = 0; j < 10; j++) {
                String word = "w" + (int) Math.abs(random.nextGaussian() * 150);
                line.add(word);
                oracle.merge(word, 1L, Long::sum);
            }
            text.add(String.join(" ", line));
        }
        long total = lines * 10L;
        String name = broker == null ? "words" : "words with a killed broker";
        Child app = Child.app(WORK, "words", bootstrap, application, EXACTLY_ONCE);
        try (Output output = new Output(bootstrap, application + "-out")) {
            int rounds = 4;
            for (int round = 0; round < rounds; round++) {
                List<String> part = text.subList(lines * round / rounds, lines * (round + 1) / rounds);
                feed(bootstrap, in, part.subList(0, part.size() / 2));
                // The first round starts the application; each later one ends something while records are on their way.
                long before = output.count();
                that(name + ": round " + round + " goes on", output.reach(before + 1), "stands at " + before + "\n" + tail(app));
                feed(bootstrap, in, part.subList(part.size() / 2, part.size()));
                Thread.sleep(50 + random.nextInt(300));
                if (round == rounds - 1) {
                    break;
                }
                if (broker != null) {
                    broker.kill();
                    broker.start();
                } else if (round == 1) {
                    that(name + ": it stops", app.stop(), tail(app));
                    app = Child.app(WORK, "words", bootstrap, application, EXACTLY_ONCE);
                } else {
                    app.kill();
                    app = Child.app(WORK, "words", bootstrap, application, EXACTLY_ONCE);
                }
            }
            that(name + ": all is counted", output.reach(total), output.count() + " of " + total + "\n" + tail(app));
            Thread.sleep(500);
            output.drain();
            that(name + ": no update more than there are words", output.count() == total, output.count() + " of " + total);
            that(name + ": each word's updates have neither gap nor repeat", output.disorder.isEmpty(), String.join("\n", output.disorder));
            Map<String, Long> counts = new HashMap<>();
            output.last.forEach((word, count) -> counts.put(word, Long.parseLong(count)));
            that(name + ": the counts are the oracle's", counts.equals(oracle), differences(counts, oracle));
            internal(bootstrap, application, name);
        } finally {
            that(name + ": it stops at the end", app.stop(), tail(app));
        }
    }

    /** The topics that Streams has made for itself. */
    private static void internal(String bootstrap, String application, String name) throws Exception {
        String changelog = application + "-counts-changelog";
        String repartition = application + "-by-word-repartition";
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            var described = admin.describeTopics(List.of(changelog, repartition)).allTopicNames().get();
            that(name + ": internal topics have the input's partitions", described.values().stream().allMatch(topic -> topic.partitions().size() == PARTITIONS), described);
            var configs = admin.describeConfigs(Stream.of(changelog, repartition).map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, topic)).toList()).all().get();
            that(name + ": the changelog is compacted", configs.get(new ConfigResource(ConfigResource.Type.TOPIC, changelog)).get("cleanup.policy").value().equals("compact"), configs);
            Config parted = configs.get(new ConfigResource(ConfigResource.Type.TOPIC, repartition));
            that(name + ": the repartition topic is kept for ever", parted.get("cleanup.policy").value().equals("delete")
                && parted.get("retention.ms").value().equals("-1"), parted);
            Map<TopicPartition, OffsetSpec> starts = new HashMap<>();
            for (int partition = 0; partition < PARTITIONS; partition++) {
                starts.put(new TopicPartition(repartition, partition), OffsetSpec.earliest());
            }
            boolean purged = false;
            for (int i = 0; i < 100 && !purged; i++) {
                purged = admin.listOffsets(starts).all().get().values().stream().allMatch(start -> start.offset() > 0);
                Thread.sleep(100);
            }
            that(name + ": what was repartitioned is deleted", purged, "its log starts at 0");
        }
    }

    /** A table, a join, windows; the application is killed in the middle. */
    private static void join(String bootstrap, String application) throws Exception {
        int orders = FULL ? 60_000 : 6_000;
        int customers = 300;
        make(bootstrap, application + "-in", application + "-side", application + "-out");
        Random random = new Random(11);
        // The windows' changelog is deleted by age: old times would go with it.
        long epoch = System.currentTimeMillis() / 10_000 * 10_000 - 1_800_000;
        try (var producer = producer(bootstrap)) {
            for (int i = 0; i < customers; i++) {
                producer.send(new ProducerRecord<>(application + "-side", null, epoch - 1000, "c" + i, "elsewhere"));
                producer.send(new ProducerRecord<>(application + "-side", null, epoch - 500, "c" + i, "city" + i % 17));
            }
        }
        Map<String, Long> oracle = new HashMap<>();
        Map<String, Long> updates = new HashMap<>();
        // Streams waits for data of both sides of a join before it goes on.
        List<String> settings = new ArrayList<>(List.of(EXACTLY_ONCE));
        settings.add("max.task.idle.ms=1000");
        Child app = Child.app(WORK, "join", bootstrap, application, settings.toArray(String[]::new));
        try (Output output = new Output(bootstrap, application + "-out"); var producer = producer(bootstrap)) {
            output.counting = false;
            for (int i = 0; i < orders; i++) {
                int customer = random.nextInt(customers + 30);
                long time = epoch + i * 20L;
                int amount = 1 + random.nextInt(100);
                producer.send(new ProducerRecord<>(application + "-in", null, time, "c" + customer, "" + amount));
                if (customer < customers) {
                    String window = "city" + customer % 17 + "@" + time / 10_000 * 10_000;
                    oracle.merge(window, (long) amount, Long::sum);
                    updates.merge(window, 1L, Long::sum);
                }
                if (i == orders / 2) {
                    producer.flush();
                    that("join: it goes on", output.reach(1), tail(app));
                    app.kill();
                    app = Child.app(WORK, "join", bootstrap, application, settings.toArray(String[]::new));
                }
            }
            producer.flush();
            long total = updates.values().stream().mapToLong(Long::longValue).sum();
            that("join: all is joined", output.reach(total), output.count() + " of " + total + "\n" + tail(app));
            Thread.sleep(500);
            output.drain();
            that("join: no update more than there are joined records", output.count() == total, output.count() + " of " + total);
            that("join: each window has its number of updates", output.updates.equals(updates), output.updates.size() + " windows of " + updates.size());
            Map<String, Long> sums = new HashMap<>();
            output.last.forEach((window, sum) -> sums.put(window, Long.parseLong(sum)));
            that("join: the sums are the oracle's", sums.equals(oracle), differences(sums, oracle));
            try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
                var resource = new ConfigResource(ConfigResource.Type.TOPIC, application + "-sums-changelog");
                var policy = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("cleanup.policy");
                that("join: the windows' changelog is compacted and deleted", Set.of(policy.value().split(",")).equals(Set.of("compact", "delete")), policy);
            }
        } finally {
            that("join: it stops at the end", app.stop(), tail(app));
        }
    }

    private static String differences(Map<String, Long> found, Map<String, Long> wanted) {
        Set<String> keys = new TreeSet<>(found.keySet());
        keys.addAll(wanted.keySet());
        return keys.stream().filter(key -> !Objects.equals(found.get(key), wanted.get(key)))
            .map(key -> key + ": " + found.get(key) + " instead of " + wanted.get(key)).collect(Collectors.joining("\n"));
    }

    private static String tail(Child app) throws Exception {
        List<String> lines = app.log().lines().toList();
        return String.join("\n", lines.subList(Math.max(0, lines.size() - 25), lines.size()));
    }

    private static void make(String bootstrap, String... topics) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(Stream.of(topics).map(topic -> new NewTopic(topic, PARTITIONS, (short) 1)).toList()).all().get();
        }
    }

    private static KafkaProducer<String, String> producer(String bootstrap) {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 5, "enable.idempotence", true), new StringSerializer(), new StringSerializer());
    }

    private static void feed(String bootstrap, String topic, List<String> lines) {
        try (var producer = producer(bootstrap)) {
            int partition = 0;
            for (String line : lines) {
                producer.send(new ProducerRecord<>(topic, partition++ % PARTITIONS, null, line));
            }
        }
    }

    /** What is committed in the output topic, read as it comes. */
    private static final class Output implements AutoCloseable {
        private final KafkaConsumer<String, String> consumer;
        final Map<String, String> last = new HashMap<>();
        final Map<String, Long> updates = new HashMap<>();
        final List<String> disorder = new ArrayList<>();
        boolean counting = true;
        private long count;

        Output(String bootstrap, String topic) {
            consumer = new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed", "auto.offset.reset", "earliest"),
                new StringDeserializer(), new StringDeserializer());
            consumer.assign(IntStream.range(0, PARTITIONS).mapToObj(partition -> new TopicPartition(topic, partition)).toList());
        }

        long count() {
            return count;
        }

        private boolean poll() {
            var records = consumer.poll(Duration.ofMillis(200));
            for (var record : records) {
                long number = updates.merge(record.key(), 1L, Long::sum);
                if (counting && Long.parseLong(record.value()) != number && disorder.size() < 20) {
                    disorder.add(record.key() + ": update " + number + " is " + record.value() + " at " + record.partition() + "/" + record.offset());
                }
                last.put(record.key(), record.value());
                count++;
            }
            return !records.isEmpty();
        }

        /** Reads until there are `wanted` records; whether there are. */
        boolean reach(long wanted) {
            long end = System.nanoTime() + PATIENCE.toNanos();
            while (count < wanted && System.nanoTime() < end) {
                poll();
            }
            return count >= wanted;
        }

        void drain() {
            while (poll()) {
            }
        }

        @Override
        public void close() {
            consumer.close();
        }
    }
}
