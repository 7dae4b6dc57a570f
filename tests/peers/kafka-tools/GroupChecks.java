import java.nio.file.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/** kafka-consumer-groups, kafka-groups and kafka-streams-application-reset. */
final class GroupChecks {
    private GroupChecks() {
    }

    private static Tools.Outcome tool(String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER));
        all.addAll(List.of(arguments));
        return Tools.run("consumer-groups", all.toArray(String[]::new));
    }

    /** A member of a group in a thread of its own, until it is closed. */
    private static final class Member implements AutoCloseable {
        private final AtomicBoolean stop = new AtomicBoolean();
        private final Thread thread;

        Member(String group, String client, String topic, String... settings) {
            List<String> all = new ArrayList<>(List.of("group.id=" + group, "client.id=" + client, "auto.commit.interval.ms=100"));
            all.addAll(List.of(settings));
            thread = new Thread(() -> {
                try (KafkaConsumer<String, String> consumer = Suite.consumer(all.toArray(String[]::new))) {
                    consumer.subscribe(List.of(topic));
                    while (!stop.get()) {
                        consumer.poll(Duration.ofMillis(50));
                    }
                }
            }, client);
            thread.start();
        }

        @Override
        public void close() throws InterruptedException {
            stop.set(true);
            thread.join();
        }
    }

    static void groups() throws Exception {
        String t = Suite.topic("grouped", 4);
        for (int partition = 0; partition < 4; partition++) {
            Suite.fill(t, partition, 10);
        }
        String g = Suite.named("group");
        try (Member one = new Member(g, "client-one", t); Member two = new Member(g, "client-two", t, "group.instance.id=static-two")) {
            Suite.soon("consumer-groups: the group is stable with two members", () -> tool("--describe", "--group", g, "--state")
                .lines("^" + g + "\\s+\\S+:\\d+\\s+\\(\\d+\\)\\s+range\\s+Stable\\s+2\\s*$").size() == 1);
            Suite.soon("consumer-groups: describe shows all offsets", () -> tool("--describe", "--group", g)
                .lines("^" + g + "\\s+" + t + "\\s+[0-3]\\s+(-\\s+)?10\\s+10\\s+0\\s+\\S+\\s+/127\\.0\\.0\\.1\\s+client-(one|two)\\s*$").size() == 4);
            var members = tool("--describe", "--group", g, "--members", "--verbose");
            Suite.ok("consumer-groups: members", members, "^" + g + "\\s+client-one-\\S+\\s+.*/127\\.0\\.0\\.1\\s+client-one\\s+2\\s",
                "static-two\\S*\\s.*client-two\\s+2\\s", t + "[:(]");
            var list = tool("--list", "--state");
            Suite.ok("consumer-groups: list --state", list, "^" + g + "\\s+(Classic\\s+)?Stable\\s*$");
            Suite.ok("consumer-groups: list --state stable", tool("--list", "--state", "stable"), "^" + g + "\\s");
            Suite.that("consumer-groups: list --state empty", tool("--list", "--state", "empty").lines("^" + g + "\\s").isEmpty(), list);
            Suite.ok("consumer-groups: list --type", tool("--list", "--type"), "^" + g + "\\s+Classic\\s*$");
            Suite.ok("consumer-groups: list --type classic", tool("--list", "--type", "classic"), "^" + g + "\\b");
            Suite.ok("groups: list", Tools.run("groups", "--bootstrap-server", Suite.BROKER, "--list"), "^" + g + "\\s+Classic\\s+consumer\\s*$");
            Suite.ok("groups: list of a protocol", Tools.run("groups", "--bootstrap-server", Suite.BROKER, "--list", "--protocol", "consumer"), "^" + g + "\\s");
            Suite.ok("consumer-groups: a group in use is not deleted", tool("--delete", "--group", g), "GroupNotEmptyException|not empty");
            Suite.ok("consumer-groups: offsets in use are not reset",
                tool("--reset-offsets", "--group", g, "--topic", t, "--to-earliest", "--execute"), "(?i)current state is Stable|inactive");
            Suite.ok("consumer-groups: offsets in use are not deleted", tool("--delete-offsets", "--group", g, "--topic", t),
                "(?i)GroupSubscribedToTopic|subscribed to the topic");
        }
        try (var admin = Suite.admin()) {
            admin.removeMembersFromConsumerGroup(g, new org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions(
                List.of(new org.apache.kafka.clients.admin.MemberToRemove("static-two")))).all().get();
        }
        Suite.soon("consumer-groups: the group is empty", () -> tool("--describe", "--group", g, "--state")
            .lines("\\sEmpty\\s+0\\s*$").size() == 1);
        var described = tool("--describe", "--group", g);
        Suite.ok("consumer-groups: describe without members", described, "has no active members", "^" + g + "\\s+" + t + "\\s+0\\s+(-\\s+)?10\\s+10\\s+0\\s+-\\s+-\\s+-");
        Suite.fill(t, 0, 5);
        Suite.ok("consumer-groups: the lag grows", tool("--describe", "--group", g), "\\s" + t + "\\s+0\\s+(-\\s+)?10\\s+15\\s+5\\s");
        Suite.ok("consumer-groups: describe all", tool("--describe", "--all-groups", "--state"), "^" + g + "\\s");
        Suite.ok("consumer-groups: delete-offsets of a partition", tool("--delete-offsets", "--group", g, "--topic", t + ":1"), "^" + t + "\\s+1\\s+Successful");
        var less = tool("--describe", "--group", g);
        Suite.that("consumer-groups: that offset is gone", less.code() == 0 && less.lines("\\s" + t + "\\s+1\\s").isEmpty()
            && less.lines("\\s" + t + "\\s").size() == 3, less);
        Suite.ok("consumer-groups: delete-offsets of a topic", tool("--delete-offsets", "--group", g, "--topic", t), "^" + t + "\\s+0\\s+Successful",
            "^" + t + "\\s+3\\s+Successful");
        Suite.ok("consumer-groups: delete", tool("--delete", "--group", g), "Deletion of requested consumer groups \\('" + g + "'\\) was successful\\.");
        Suite.that("consumer-groups: it is not listed", tool("--list").lines("^" + g + "$").isEmpty(), "listed");
        Suite.ok("consumer-groups: delete what is not there", tool("--delete", "--group", g), "GroupIdNotFoundException|(?i)not found|does not exist");
        Suite.ok("consumer-groups: describe what is not there", tool("--describe", "--group", g), "GroupIdNotFoundException");
    }

    private static Map<Integer, Long> committed(String group, String topic) throws Exception {
        try (var admin = Suite.admin()) {
            return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().entrySet().stream()
                .filter(entry -> entry.getKey().topic().equals(topic))
                .collect(Collectors.toMap(entry -> entry.getKey().partition(), entry -> entry.getValue().offset()));
        }
    }

    static void reset() throws Exception {
        String t = Suite.topic("resets", 2);
        String g = Suite.named("resets");
        Suite.fill(t, 0, 10);
        Thread.sleep(1200);
        long middle = System.currentTimeMillis();
        Thread.sleep(300);
        Suite.fill(t, 0, 10);
        Suite.fill(t, 1, 4);
        Suite.commit(g, Map.of(new TopicPartition(t, 0), 7L, new TopicPartition(t, 1), 2L));
        var dry = tool("--reset-offsets", "--group", g, "--topic", t, "--to-earliest", "--dry-run");
        Suite.ok("reset-offsets: --dry-run", dry, "^" + g + "\\s+" + t + "\\s+0\\s+(-\\s+)?0\\s*$", "^" + g + "\\s+" + t + "\\s+1\\s+(-\\s+)?0\\s*$");
        Suite.that("reset-offsets: --dry-run changes nothing", committed(g, t).equals(Map.of(0, 7L, 1, 2L)), committed(g, t));
        String utc = DateTimeText.of(middle);
        Object[][] variants = {
            {Map.of(0, 0L, 1, 0L), t, "--to-earliest"}, {Map.of(0, 20L, 1, 4L), t, "--to-latest"},
            {Map.of(0, 3L, 1, 3L), t, "--to-offset", "3"}, {Map.of(0, 5L, 1, 4L), t, "--shift-by", "2"},
            {Map.of(0, 4L, 1, 3L), t, "--shift-by", "-1"}, {Map.of(0, 20L, 1, 4L), t, "--to-offset", "1000"},
            {Map.of(0, 0L, 1, 0L), t, "--by-duration", "PT1H"}, {Map.of(0, 10L, 1, 0L), t, "--to-datetime", utc},
            {Map.of(0, 10L, 1, 0L), t, "--to-current"}, {Map.of(0, 20L, 1, 0L), t + ":0", "--to-latest"},
        };
        for (Object[] variant : variants) {
            List<String> arguments = new ArrayList<>(List.of("--reset-offsets", "--group", g, "--execute", "--topic", (String) variant[1]));
            Stream.of(variant).skip(2).forEach(argument -> arguments.add((String) argument));
            var done = tool(arguments.toArray(String[]::new));
            String name = "reset-offsets: " + String.join(" ", arguments.subList(5, arguments.size()).stream()
                .map(word -> word.equals(utc) ? "TIME" : word).toList());
            Suite.that(name, done.code() == 0 && committed(g, t).equals(variant[0]), committed(g, t) + "\n" + done.out());
        }
        var exported = tool("--reset-offsets", "--group", g, "--topic", t, "--to-offset", "2", "--export", "--dry-run");
        Suite.ok("reset-offsets: --export", exported, "^\"?" + t + "\"?,0,2$", "^\"?" + t + "\"?,1,2$");
        String file = Suite.file("offsets.csv", exported.out());
        var imported = tool("--reset-offsets", "--group", g, "--from-file", file, "--execute");
        Suite.that("reset-offsets: --from-file", imported.code() == 0 && committed(g, t).equals(Map.of(0, 2L, 1, 2L)), committed(g, t) + imported.out());
        String fresh = Suite.named("fresh");
        var made = tool("--reset-offsets", "--group", fresh, "--topic", t, "--to-offset", "3", "--execute");
        Suite.that("reset-offsets: of a new group", made.code() == 0 && committed(fresh, t).equals(Map.of(0, 3L, 1, 3L)), committed(fresh, t) + made.out());
        try (var consumer = Suite.consumer("group.id=" + fresh)) {
            consumer.subscribe(List.of(t));
            Set<Long> first = new HashSet<>();
            long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
            Map<Integer, Long> seen = new HashMap<>();
            while (seen.size() < 2 && System.nanoTime() < end) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> seen.putIfAbsent(record.partition(), record.offset()));
            }
            Suite.that("reset-offsets: a consumer starts there", seen.equals(Map.of(0, 3L, 1, 3L)), seen);
        }
        var both = tool("--delete", "--group", g, "--group", fresh);
        Suite.ok("consumer-groups: delete two", both, "was successful");
    }

    /** An instant as kafka-consumer-groups reads it. */
    private static final class DateTimeText {
        static String of(long millis) {
            return java.time.format.DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC).format(Instant.ofEpochMilli(millis));
        }
    }

    static void streamsReset() throws Exception {
        String in = Suite.topic("app-in", 2);
        String app = Suite.named("app");
        String internal = Suite.topic("app", 1, "cleanup.policy=compact") + "-counts-changelog";
        Tools.run("topics", "--bootstrap-server", Suite.BROKER, "--create", "--topic", internal, "--partitions", "2", "--config", "cleanup.policy=compact");
        Suite.fill(in, 0, 6);
        Suite.fill(in, 1, 6);
        Suite.commit(app, Map.of(new TopicPartition(in, 0), 5L, new TopicPartition(in, 1), 6L));
        String[] common = {"--bootstrap-server", Suite.BROKER, "--application-id", app, "--input-topics", in};
        var dry = Tools.run("streams-application-reset", Stream.concat(Stream.of(common), Stream.of("--dry-run")).toArray(String[]::new));
        Suite.ok("streams-application-reset: --dry-run", dry, in, internal);
        Suite.that("streams-application-reset: --dry-run changes nothing", committed(app, in).equals(Map.of(0, 5L, 1, 6L)), committed(app, in));
        var done = Tools.run("streams-application-reset", common);
        Suite.ok("streams-application-reset", done, "Reset-offsets for input topics", internal);
        Suite.that("streams-application-reset: the offsets", committed(app, in).equals(Map.of(0, 0L, 1, 0L)), committed(app, in));
        Suite.soon("streams-application-reset: the internal topic goes", () -> Tools.run("topics", "--bootstrap-server", Suite.BROKER, "--list")
            .lines("^" + internal + "$").isEmpty());
        var shifted = Tools.run("streams-application-reset", Stream.concat(Stream.of(common), Stream.of("--to-offset", "4")).toArray(String[]::new));
        Suite.that("streams-application-reset: --to-offset", shifted.code() == 0 && committed(app, in).equals(Map.of(0, 4L, 1, 4L)), shifted);
    }
}
