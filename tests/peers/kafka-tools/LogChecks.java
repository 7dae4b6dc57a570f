import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.producer.ProducerRecord;

/** kafka-get-offsets, kafka-delete-records and kafka-log-dirs. */
final class LogChecks {
    private LogChecks() {
    }

    private static Tools.Outcome offsetsOf(String... more) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER));
        all.addAll(List.of(more));
        return Tools.run("get-offsets", all.toArray(String[]::new));
    }

    static void offsets() throws Exception {
        String t = Suite.topic("offsets", 3);
        long base = System.currentTimeMillis() - 100_000;
        long[] times = {10, 50, 30, 40, 20};
        try (var producer = Suite.producer("batch.size=0")) {
            for (int i = 0; i < times.length; i++) {
                producer.send(new ProducerRecord<>(t, 0, base + times[i], "k", "v" + i)).get();
            }
            producer.send(new ProducerRecord<>(t, 1, base, "k", "v")).get();
        }
        equal("get-offsets: the default", offsetsOf("--topic", t), t + ":0:5", t + ":1:1", t + ":2:0");
        for (String time : List.of("-1", "latest")) {
            equal("get-offsets: --time " + time, offsetsOf("--topic", t, "--time", time), t + ":0:5", t + ":1:1", t + ":2:0");
        }
        for (String time : List.of("-2", "earliest", "-4", "earliest-local")) {
            equal("get-offsets: --time " + time, offsetsOf("--topic", t, "--time", time), t + ":0:0", t + ":1:0", t + ":2:0");
        }
        for (String time : List.of("-3", "max-timestamp")) {
            equal("get-offsets: --time " + time, offsetsOf("--topic", t, "--time", time), t + ":0:1", t + ":1:0");
        }
        for (String time : List.of("-5", "latest-tiered")) {
            equal("get-offsets: --time " + time, offsetsOf("--topic", t, "--time", time));
        }
        if (Suite.offers("ListOffsets", 11)) {
            for (String time : List.of("-6", "earliest-pending-upload")) {
                equal("get-offsets: --time " + time, offsetsOf("--topic", t, "--time", time));
            }
        }
        equal("get-offsets: a timestamp", offsetsOf("--topic", t, "--time", "" + (base + 15)), t + ":0:1");
        equal("get-offsets: an exact timestamp", offsetsOf("--topic", t, "--time", "" + (base + 50)), t + ":0:1");
        equal("get-offsets: an early timestamp", offsetsOf("--topic", t, "--time", "0"), t + ":0:0", t + ":1:0");
        equal("get-offsets: a late timestamp", offsetsOf("--topic", t, "--time", "" + (base + 51)));
        equal("get-offsets: partitions", offsetsOf("--topic", t, "--partitions", "0,2"), t + ":0:5", t + ":2:0");
        equal("get-offsets: topic partitions", offsetsOf("--topic-partitions", t + ":1-"), t + ":1:1", t + ":2:0");
        var all = offsetsOf("--exclude-internal-topics");
        Suite.that("get-offsets: all topics but internal ones", all.code() == 0 && all.lines("^__").isEmpty() && all.lines("^" + t + ":").size() == 3, all);
        Suite.refused("get-offsets: what is not there", offsetsOf("--topic", Suite.named("none")), "(?i)could not match any topic");
    }

    private static void equal(String name, Tools.Outcome outcome, String... lines) {
        Suite.that(name, outcome.code() == 0 && outcome.out().lines().sorted().toList().equals(Stream.of(lines).sorted().toList()),
            "expected " + List.of(lines) + ", exit code " + outcome.code() + ":\n" + outcome.out());
    }

    private static Tools.Outcome deleteTool(String json) throws Exception {
        return Tools.run("delete-records", "--bootstrap-server", Suite.BROKER, "--offset-json-file", Suite.file("delete.json", json));
    }

    private static String before(String topic, int partition, long offset) {
        return "{\"version\":1,\"partitions\":[{\"topic\":\"" + topic + "\",\"partition\":" + partition + ",\"offset\":" + offset + "}]}";
    }

    static void deleteRecords() throws Exception {
        String t = Suite.topic("deleted-records", 2);
        Suite.fill(t, 0, 10);
        Suite.fill(t, 1, 10);
        Suite.ok("delete-records", deleteTool(before(t, 0, 4)), "^partition: " + t + "-0\\s+low_watermark: 4$");
        equal("delete-records: the start", offsetsOf("--topic", t, "--time", "earliest"), t + ":0:4", t + ":1:0");
        var read = Tools.run("console-consumer", "--bootstrap-server", Suite.BROKER, "--topic", t, "--partition", "0", "--offset", "earliest",
            "--max-messages", "6", "--timeout-ms", "10000");
        Suite.that("delete-records: what is left", read.lines("^v").equals(List.of("v4", "v5", "v6", "v7", "v8", "v9")), read);
        Suite.ok("delete-records: a lower offset changes nothing", deleteTool(before(t, 0, 2)), "low_watermark: 4$");
        Suite.ok("delete-records: beyond the end", deleteTool(before(t, 0, 11)), "OffsetOutOfRangeException|not within the range");
        Suite.ok("delete-records: -1 is all", deleteTool(before(t, 1, -1)), "low_watermark: 10$");
        equal("delete-records: nothing is left", offsetsOf("--topic", t, "--time", "earliest"), t + ":0:4", t + ":1:10");
        Suite.ok("delete-records: a partition that is not there", Tools.run("delete-records", "--bootstrap-server", Suite.BROKER, "--offset-json-file",
            Suite.file("delete.json", before(t, 7, 0)), "--command-config", Suite.impatient()), "TimeoutException|UnknownTopicOrPartition");
        Suite.fill(t, 1, 3);
        equal("delete-records: writing goes on", offsetsOf("--topic", t), t + ":0:10", t + ":1:13");
        String compacted = Suite.topic("deleted-compacted", 1, "cleanup.policy=compact");
        Suite.fill(compacted, 0, 3);
        Suite.ok("delete-records: not of a compacted topic", deleteTool(before(compacted, 0, 1)), "PolicyViolationException|(?i)policy");
        try (var admin = Suite.admin(); var consumer = Suite.consumer("auto.offset.reset=none")) {
            var partition = new org.apache.kafka.common.TopicPartition(t, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, 1);
            String thrown = "nothing";
            try {
                consumer.poll(java.time.Duration.ofSeconds(10));
            } catch (org.apache.kafka.clients.consumer.OffsetOutOfRangeException e) {
                thrown = "out of range";
            }
            Suite.that("delete-records: reading before the start", thrown.equals("out of range"), thrown);
        }
    }

    static void logDirs() throws Exception {
        String t = Suite.topic("dirs", 2);
        Suite.fill(t, 0, 100);
        var described = Tools.run("log-dirs", "--bootstrap-server", Suite.BROKER, "--describe", "--topic-list", t);
        Suite.ok("log-dirs: describe a topic", described, "^Received log directory information from brokers \\d+$", "\"error\":null",
            "\"partition\":\"" + t + "-0\",\"size\":[1-9]\\d*,\"offsetLag\":0,\"isFuture\":false");
        Suite.ok("log-dirs: an empty partition", described, "\"partition\":\"" + t + "-1\",\"size\":0,\"offsetLag\":0,\"isFuture\":false");
        Suite.ok("log-dirs: all topics", Tools.run("log-dirs", "--bootstrap-server", Suite.BROKER, "--describe"), "\"logDir\":\"/", t + "-0");
        Suite.that("log-dirs: of a topic that is not there", !Tools.run("log-dirs", "--bootstrap-server", Suite.BROKER, "--describe", "--topic-list",
            Suite.named("none")).out().contains("\"partition\":"), "a partition");
        try (var admin = Suite.admin()) {
            var dirs = admin.describeLogDirs(List.of(admin.describeCluster().nodes().get().iterator().next().id())).allDescriptions().get()
                .values().iterator().next().values().iterator().next();
            Suite.that("log-dirs: the volume's bytes", dirs.totalBytes().orElse(-1) > 0 && dirs.usableBytes().orElse(-1) > 0
                && dirs.usableBytes().getAsLong() <= dirs.totalBytes().getAsLong(), dirs);
        }
    }
}
