import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.errors.RecordTooLargeException;

/** kafka-topics and kafka-configs. */
final class TopicChecks {
    private TopicChecks() {
    }

    private static Tools.Outcome topicTool(String... arguments) throws Exception {
        return Tools.run("topics", with(arguments));
    }

    private static Tools.Outcome configTool(String... arguments) throws Exception {
        return Tools.run("configs", with(arguments));
    }

    private static String[] with(String... arguments) {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER));
        all.addAll(List.of(arguments));
        return all.toArray(String[]::new);
    }

    static void topics() throws Exception {
        String a = Suite.named("a");
        String b = Suite.named("b");
        Suite.ok("topics: create", topicTool("--create", "--topic", a, "--partitions", "3", "--replication-factor", "1",
            "--config", "cleanup.policy=compact", "--config", "retention.ms=1234567"), "^Created topic " + a + "\\.$");
        Suite.ok("topics: create with the broker's defaults", topicTool("--create", "--topic", b), "^Created topic " + b + "\\.$");
        Suite.refused("topics: create what is there", topicTool("--create", "--topic", a), "(?i)topic '?" + a + "'? already exists");
        Suite.ok("topics: create --if-not-exists", topicTool("--create", "--if-not-exists", "--topic", a));
        Suite.refused("topics: a bad name", topicTool("--create", "--topic", "a b"), "(?i)invalid|illegal|allowed");
        Suite.refused("topics: a name too long", topicTool("--create", "--topic", "x".repeat(250)), "249|invalid|illegal");
        Suite.refused("topics: an unknown config", topicTool("--create", "--topic", Suite.named("bad"), "--config", "no.such=1"),
            "(?i)unknown topic config");
        Suite.refused("topics: a bad value", topicTool("--create", "--topic", Suite.named("bad"), "--config", "cleanup.policy=burn"),
            "InvalidConfigurationException|Invalid value burn");
        Suite.refused("topics: a bad number", topicTool("--create", "--topic", Suite.named("bad"), "--config", "retention.ms=soon"),
            "InvalidConfigurationException|Invalid value soon");
        Suite.refused("topics: two replicas on one node", topicTool("--create", "--topic", Suite.named("bad"), "--replication-factor", "2"),
            "(?i)replication factor");
        Suite.refused("topics: no partitions", topicTool("--create", "--topic", Suite.named("bad"), "--partitions", "0"));
        var list = topicTool("--list");
        Suite.ok("topics: list", list, "^" + a + "$", "^" + b + "$");
        Suite.that("topics: what was refused is not there", list.lines("^" + Suite.named("bad") + "$").isEmpty(), list);
        Suite.that("topics: list is sorted", list.out().lines().toList().equals(list.out().lines().sorted().toList()), list);
        Suite.ok("topics: list by a pattern", topicTool("--list", "--topic", "a-.*"), "^" + a + "$");
        Suite.that("topics: list without internal topics", topicTool("--list", "--exclude-internal").lines("^__").isEmpty(), "");
        var described = topicTool("--describe", "--topic", a);
        Suite.ok("topics: describe", described,
            "^Topic: " + a + "\\s+TopicId: \\S{22}\\s+PartitionCount: 3\\s+ReplicationFactor: 1\\s+Configs: .*cleanup.policy=compact",
            "retention.ms=1234567", "Partition: 0\\s+Leader: (\\d+)\\s+Replicas: \\1\\s+Isr: \\1\\b");
        Suite.that("topics: describe has every partition", described.lines("Partition: [012]\\s").size() == 3, described);
        Suite.ok("topics: describe by id", topicTool("--describe", "--topic-id",
            described.out().replaceAll("(?s).*TopicId: (\\S+).*", "$1")), "^Topic: " + a + "\\s");
        Suite.ok("topics: describe all", topicTool("--describe"), "^Topic: " + a + "\\s", "^Topic: " + b + "\\s");
        Suite.refused("topics: describe what is not there", topicTool("--describe", "--topic", Suite.named("none")), "does not exist");
        Suite.ok("topics: describe --if-exists", topicTool("--describe", "--if-exists", "--topic", Suite.named("none")));
        var overrides = topicTool("--describe", "--topics-with-overrides");
        Suite.ok("topics: describe --topics-with-overrides", overrides, "^Topic: " + a + "\\s");
        Suite.that("topics: a topic without a config of its own has no override", overrides.lines("^Topic: " + b + "\\s+(?!.*Configs: min.insync.replicas=1\\s*$)").isEmpty(), overrides);
        for (String option : List.of("--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions",
            "--at-min-isr-partitions")) {
            var found = topicTool("--describe", option, "--topic", a);
            boolean atMinimum = option.startsWith("--at-min");
            Suite.that("topics: describe " + option, found.code() == 0 && found.lines("Topic: ").size() == (atMinimum ? 3 : 0), found);
        }
        Suite.ok("topics: alter partitions", topicTool("--alter", "--topic", a, "--partitions", "5"));
        Suite.soon("topics: there are more partitions", () -> !topicTool("--describe", "--topic", a).lines("PartitionCount: 5").isEmpty());
        Suite.refused("topics: fewer partitions", topicTool("--alter", "--topic", a, "--partitions", "2"), "(?i)increase|expected");
        Suite.refused("topics: alter what is not there", topicTool("--alter", "--topic", Suite.named("none"), "--partitions", "2"), "does not exist");
        Suite.ok("topics: alter --if-exists", topicTool("--alter", "--if-exists", "--topic", Suite.named("none"), "--partitions", "2"));
        errors(a);
        String dotted = Suite.named("x.y");
        Suite.ok("topics: a dot", topicTool("--create", "--topic", dotted));
        Suite.refused("topics: a name that collides", topicTool("--create", "--topic", dotted.replace('.', '_')), "collides");
        Suite.ok("topics: delete", topicTool("--delete", "--topic", a));
        Suite.soon("topics: what was deleted goes", () -> topicTool("--list").lines("^" + a + "$").isEmpty());
        Suite.refused("topics: delete what is not there", topicTool("--delete", "--topic", a), "does not exist");
        Suite.ok("topics: delete --if-exists", topicTool("--delete", "--if-exists", "--topic", a));
        Suite.ok("topics: create again", topicTool("--create", "--topic", a), "^Created topic");
        var again = topicTool("--describe", "--topic", a);
        Suite.that("topics: it has a new id", again.code() == 0
            && !again.out().replaceAll("(?s).*TopicId: (\\S+).*", "$1").equals(described.out().replaceAll("(?s).*TopicId: (\\S+).*", "$1")), again);
        Suite.ok("topics: delete by a pattern", topicTool("--delete", "--topic", "[ab]-" + a.substring(2)));
        Suite.soon("topics: all that match go", () -> topicTool("--list").lines("^(" + a + "|" + b + ")$").isEmpty());
    }

    /** What is refused is refused with Kafka's error; the tools show no more than its text. */
    private static void errors(String there) throws Exception {
        Map<String, NewTopic> refused = new LinkedHashMap<>();
        refused.put("TopicExistsException", new NewTopic(there, 1, (short) 1));
        refused.put("InvalidTopicException", new NewTopic("a b", 1, (short) 1));
        refused.put("InvalidReplicationFactorException", new NewTopic(Suite.named("bad"), 1, (short) 2));
        refused.put("InvalidPartitionsException", new NewTopic(Suite.named("bad"), 0, (short) 1));
        refused.put("InvalidConfigurationException", new NewTopic(Suite.named("bad"), 1, (short) 1).configs(Map.of("retention.ms", "soon")));
        try (var admin = Suite.admin()) {
            for (var topic : refused.entrySet()) {
                Suite.that("topics: " + topic.getKey() + " at creation", thrown(() -> admin.createTopics(List.of(topic.getValue())).all().get())
                    .equals(topic.getKey()), thrown(() -> admin.createTopics(List.of(topic.getValue())).all().get()));
                Suite.that("topics: " + topic.getKey() + " at validation", thrown(() -> admin.createTopics(List.of(topic.getValue()),
                    new CreateTopicsOptions().validateOnly(true)).all().get()).equals(topic.getKey()), "another");
            }
            Suite.that("topics: no error at validation, and no topic", thrown(() -> admin.createTopics(List.of(new NewTopic(Suite.named("bad"), 1, (short) 1)),
                new CreateTopicsOptions().validateOnly(true)).all().get()).equals("nothing")
                && !admin.listTopics().names().get().contains(Suite.named("bad")), "another");
            Suite.that("topics: InvalidPartitionsException for fewer", thrown(() -> admin.createPartitions(Map.of(there, NewPartitions.increaseTo(2))).all().get())
                .equals("InvalidPartitionsException"), "another");
            Suite.that("topics: InvalidPartitionsException for as many", thrown(() -> admin.createPartitions(Map.of(there, NewPartitions.increaseTo(5))).all().get())
                .equals("InvalidPartitionsException"), "another");
            Suite.that("topics: UnknownTopicOrPartitionException for partitions", thrown(() -> admin.createPartitions(Map.of(Suite.named("none"), NewPartitions.increaseTo(2)))
                .all().get()).equals("UnknownTopicOrPartitionException"), "another");
            Suite.that("topics: UnknownTopicOrPartitionException for deletion", thrown(() -> admin.deleteTopics(List.of(Suite.named("none"))).all().get())
                .equals("UnknownTopicOrPartitionException"), "another");
            Suite.that("topics: UnknownTopicOrPartitionException for description", thrown(() -> admin.describeTopics(List.of(Suite.named("none"))).allTopicNames().get())
                .equals("UnknownTopicOrPartitionException"), "another");
            Suite.that("topics: UnknownTopicOrPartitionException for configs", thrown(() -> admin.describeConfigs(List.of(new org.apache.kafka.common.config.ConfigResource(
                org.apache.kafka.common.config.ConfigResource.Type.TOPIC, Suite.named("none")))).all().get()).equals("UnknownTopicOrPartitionException"), "another");
        }
    }

    private static String thrown(Suite.Body body) throws Exception {
        try {
            body.run();
            return "nothing";
        } catch (ExecutionException e) {
            return e.getCause().getClass().getSimpleName();
        }
    }

    static void configs() throws Exception {
        String t = Suite.topic("configured", 1, "max.message.bytes=2000000");
        String[] topic = {"--entity-type", "topics", "--entity-name", t};
        var all = configTool(join(topic, "--describe", "--all"));
        Suite.ok("configs: describe --all of a topic", all, "^All configs for topic " + t + " are:$",
            "max.message.bytes=2000000 sensitive=false synonyms=\\{DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000000, ",
            "^\\s+cleanup.policy=delete sensitive=false synonyms=\\{DEFAULT_CONFIG:log.cleanup.policy=delete\\}");
        for (String key : List.of("cleanup.policy", "compression.type", "delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms",
            "index.interval.bytes", "max.compaction.lag.ms", "max.message.bytes", "message.timestamp.type", "min.cleanable.dirty.ratio",
            "min.compaction.lag.ms", "min.insync.replicas", "preallocate", "retention.bytes", "retention.ms", "segment.bytes",
            "segment.index.bytes", "segment.jitter.ms", "segment.ms", "unclean.leader.election.enable", "message.timestamp.before.max.ms",
            "message.timestamp.after.max.ms")) {
            Suite.ok("configs: a topic has " + key, all, "^\\s+" + key.replace(".", "\\.") + "=\\S* sensitive=false");
        }
        var own = configTool(join(topic, "--describe"));
        Suite.ok("configs: describe a topic", own, "^Dynamic configs for topic " + t + " are:$", "^\\s+max.message.bytes=2000000 ");
        Suite.that("configs: only its own", own.lines("sensitive=").size() == 1, own);
        Suite.ok("configs: add", configTool(join(topic, "--alter", "--add-config", "retention.ms=9999,cleanup.policy=[compact,delete]")),
            "^Completed updating config for topic " + t + "\\.$");
        Suite.ok("configs: what was added", configTool(join(topic, "--describe")), "^\\s+retention.ms=9999 ", "^\\s+cleanup.policy=compact,delete ");
        Suite.refused("configs: a bad value", configTool(join(topic, "--alter", "--add-config", "retention.ms=never")),
            "InvalidConfigurationException|Invalid value never");
        Suite.refused("configs: an unknown key", configTool(join(topic, "--alter", "--add-config", "no.such=1")), "(?i)unknown topic config");
        Suite.refused("configs: one bad of two changes neither", configTool(join(topic, "--alter", "--add-config", "segment.ms=5000,retention.ms=never")));
        Suite.that("configs: neither was changed", configTool(join(topic, "--describe")).lines("segment.ms|never").isEmpty(), own);
        Suite.ok("configs: delete", configTool(join(topic, "--alter", "--delete-config", "retention.ms,max.message.bytes")));
        var deleted = configTool(join(topic, "--describe"));
        Suite.that("configs: what was deleted", deleted.code() == 0 && deleted.lines("sensitive=").size() == 1, deleted);
        Suite.refused("configs: delete what is not set", configTool(join(topic, "--alter", "--delete-config", "retention.ms")), "Invalid config\\(s\\)");
        Suite.ok("configs: add from a file", configTool(join(topic, "--alter", "--add-config-file", Suite.file("add.properties", "segment.ms=7777\n"))));
        Suite.ok("configs: what came from the file", configTool(join(topic, "--describe")), "^\\s+segment.ms=7777 ");
        Suite.refused("configs: of a topic that is not there", configTool("--entity-type", "topics", "--entity-name", Suite.named("none"),
            "--alter", "--add-config", "retention.ms=1"), "does not exist|UnknownTopicOrPartition");
        Suite.ok("configs: describe all topics", configTool("--entity-type", "topics", "--describe"), "for topic " + t + " are:");
        applied();
        brokers();
    }

    /** A changed config is not only shown. */
    private static void applied() throws Exception {
        String t = Suite.topic("applied", 1);
        String[] topic = {"--entity-type", "topics", "--entity-name", t};
        Suite.ok("configs: a limit of record batches", configTool(join(topic, "--alter", "--add-config", "max.message.bytes=1000")));
        try (var producer = Suite.producer()) {
            String big = "x".repeat(5000);
            Suite.soon("configs: the limit holds", () -> written(producer, t, big) == null);
            Suite.ok("configs: the limit is lifted", configTool(join(topic, "--alter", "--delete-config", "max.message.bytes")));
            Suite.soon("configs: it is written", () -> written(producer, t, big) != null);
            Suite.that("configs: the producer's clock", written(producer, t, "y") == 1000L, "another timestamp");
            Suite.ok("configs: add the broker's clock", configTool(join(topic, "--alter", "--add-config", "message.timestamp.type=LogAppendTime")));
            Suite.soon("configs: it is the broker's clock", () -> written(producer, t, "z") > 1_000_000_000_000L);
        }
    }

    /** The timestamp that the broker has given to a record, whose own is 1000; null if it was too large. */
    private static Long written(KafkaProducer<String, String> producer, String topic, String value) throws Exception {
        try {
            return producer.send(new ProducerRecord<>(topic, 0, 1000L, "k", value)).get().timestamp();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RecordTooLargeException) {
                return null;
            }
            throw e;
        }
    }

    private static void brokers() throws Exception {
        String id;
        try (var admin = Suite.admin()) {
            id = admin.describeCluster().nodes().get().iterator().next().idString();
        }
        String[] broker = {"--entity-type", "brokers", "--entity-name", id};
        var all = configTool(join(broker, "--describe", "--all"));
        Suite.ok("configs: describe --all of the broker", all, "^All configs for broker " + id + " are:$",
            "^\\s+num.partitions=\\d+ sensitive=false", "^\\s+log.retention.ms=", "^\\s+message.max.bytes=", "^\\s+log.segment.bytes=");
        Suite.ok("configs: add for the broker", configTool(join(broker, "--alter", "--add-config", "log.cleaner.threads=2")),
            "^Completed updating config for broker " + id + "\\.$");
        Suite.ok("configs: it is the broker's", configTool(join(broker, "--describe")), "^\\s+log.cleaner.threads=2 ");
        Suite.ok("configs: delete for the broker", configTool(join(broker, "--alter", "--delete-config", "log.cleaner.threads")));
        Suite.refused("configs: a setting that needs a restart", configTool(join(broker, "--alter", "--add-config", "log.dirs=/tmp/other")),
            "InvalidRequestException|InvalidConfigurationException|(?i)cannot");
        Suite.refused("configs: a bad value for the broker", configTool(join(broker, "--alter", "--add-config", "log.retention.ms=soon")), "(?i)invalid");
        String[] defaults = {"--entity-type", "brokers", "--entity-default"};
        Suite.ok("configs: add for all brokers", configTool(join(defaults, "--alter", "--add-config", "log.retention.ms=86400000")),
            "^Completed updating default config for brokers in the cluster\\.$");
        Suite.ok("configs: it is of all brokers", configTool(join(defaults, "--describe")), "^Default configs for brokers in the cluster are:$",
            "^\\s+log.retention.ms=86400000 ");
        String t = Suite.topic("inherits", 1);
        Suite.soon("configs: a topic inherits it", () -> !configTool("--entity-type", "topics", "--entity-name", t, "--describe", "--all")
            .lines("^\\s+retention.ms=86400000 .*DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=86400000").isEmpty());
        Suite.ok("configs: delete for all brokers", configTool(join(defaults, "--alter", "--delete-config", "log.retention.ms")));
        Suite.soon("configs: a topic has the default again", () -> !configTool("--entity-type", "topics", "--entity-name", t, "--describe", "--all")
            .lines("^\\s+retention.ms=604800000 ").isEmpty());
    }

    private static String[] join(String[] first, String... more) {
        List<String> all = new ArrayList<>(List.of(first));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }
}
