import java.util.*;
import org.apache.kafka.clients.producer.*;

/** kafka-transactions, and the copier that Kafka's own system tests use. */
final class TransactionChecks {
    private TransactionChecks() {
    }

    private static Tools.Outcome tool(String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER));
        all.addAll(List.of(arguments));
        return Tools.run("transactions", all.toArray(String[]::new));
    }

    private static long lastStable(String topic) throws Exception {
        try (var consumer = Suite.consumer("isolation.level=read_committed")) {
            var partition = new org.apache.kafka.common.TopicPartition(topic, 0);
            return consumer.endOffsets(List.of(partition)).get(partition);
        }
    }

    static void transactions() throws Exception {
        String t = Suite.topic("transacted", 2);
        String id = Suite.named("transaction");
        String node;
        try (var admin = Suite.admin()) {
            node = admin.describeCluster().nodes().get().iterator().next().idString();
        }
        try (var producer = Suite.producer("transactional.id=" + id, "transaction.timeout.ms=45000")) {
            producer.initTransactions();
            Suite.soon("transactions: an id without a transaction", () -> !tool("describe", "--transactional-id", id).lines("\\sEmpty\\s").isEmpty());
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(t, 0, "k", "one")).get();
            producer.send(new ProducerRecord<>(t, 0, "k", "two")).get();
            producer.send(new ProducerRecord<>(t, 1, "k", "three")).get();
            Suite.ok("transactions: list", tool("list"), "^TransactionalId\\s+Coordinator\\s+ProducerId\\s+TransactionState", "^" + id + "\\s+" + node + "\\s+\\d+\\s+Ongoing");
            if (Suite.offers("ListTransactions", 2)) {
                patterns(id);
            }
            Suite.that("transactions: list by duration", tool("list", "--duration-filter", "3600000").lines("^" + id).isEmpty(), "listed");
            Suite.ok("transactions: describe", tool("describe", "--transactional-id", id),
                "^" + node + "\\s+" + id + "\\s+\\d+\\s+\\d+\\s+Ongoing\\s+45000\\s+\\S+\\s+\\d+\\s+\\S*" + t + "-[01],\\S*" + t + "-[01]");
            var producers = tool("describe-producers", "--topic", t, "--partition", "0");
            Suite.ok("transactions: describe-producers", producers, "^ProducerId\\s+ProducerEpoch\\s+LatestCoordinatorEpoch\\s+LastSequence\\s+LastTimestamp\\s+CurrentTransactionStartOffset",
                "^\\d+\\s+\\d+\\s+-?\\d+\\s+1\\s+\\d{13}\\s+0\\s*$");
            Suite.ok("transactions: describe-producers of a broker", tool("describe-producers", "--topic", t, "--partition", "1", "--broker-id", node), "\\s0\\s+\\d{13}\\s+0\\s*$");
            var hanging = tool("find-hanging", "--broker-id", node);
            Suite.ok("transactions: find-hanging", hanging, "^Topic\\s+Partition\\s+ProducerId\\s+ProducerEpoch");
            Suite.that("transactions: nothing hangs", hanging.lines(t).isEmpty(), hanging);
            Suite.that("transactions: the last stable offset waits", lastStable(t) == 0, lastStable(t));
            producer.commitTransaction();
            Suite.soon("transactions: complete", () -> !tool("describe", "--transactional-id", id).lines("\\sCompleteCommit\\s").isEmpty());
            Suite.that("transactions: the last stable offset goes on", lastStable(t) == 3, lastStable(t));
            Suite.ok("transactions: describe-producers after the commit", tool("describe-producers", "--topic", t, "--partition", "0"),
                "^\\d+\\s+\\d+\\s+-?\\d+\\s+-?\\d+\\s+\\d{13}\\s+None\\s*$");
        }
        abort(t);
        terminate(t);
        Suite.refused("transactions: describe what is not there", tool("describe", "--transactional-id", Suite.named("nobody")), "(?i)transactional");
        Suite.refused("transactions: describe-producers of what is not there", Tools.run("transactions", "--bootstrap-server", Suite.BROKER,
            "--command-config", Suite.impatient(), "describe-producers", "--topic", Suite.named("none"), "--partition", "0"), "(?i)timed out|UnknownTopicOrPartition");
    }

    private static void patterns(String id) throws Exception {
        Suite.ok("transactions: list by a pattern", tool("list", "--transactional-id-pattern", id.substring(0, 8) + ".*"), "^" + id + "\\s");
        Suite.that("transactions: list by a pattern that none has", tool("list", "--transactional-id-pattern", "nobody.*").lines("^" + id).isEmpty(), "listed");
    }

    private static void abort(String t) throws Exception {
        String id = Suite.named("aborted");
        KafkaProducer<String, String> producer = Suite.producer("transactional.id=" + id);
        try {
            producer.initTransactions();
            producer.beginTransaction();
            long start = producer.send(new ProducerRecord<>(t, 0, "k", "hangs")).get().offset();
            Suite.that("transactions: it holds the last stable offset", lastStable(t) == start, lastStable(t));
            Suite.refused("transactions: abort at a wrong offset", tool("abort", "--topic", t, "--partition", "0", "--start-offset", "" + (start + 1)), "(?i)could not find");
            Suite.ok("transactions: abort", tool("abort", "--topic", t, "--partition", "0", "--start-offset", "" + start));
            Suite.soon("transactions: the abort frees the last stable offset", () -> lastStable(t) == start + 2);
            Suite.that("transactions: no transaction is open in the partition", tool("describe-producers", "--topic", t, "--partition", "0")
                .lines("\\s\\d{13}\\s+\\d+\\s*$").isEmpty(), "open");
            var read = Tools.run("console-consumer", "--bootstrap-server", Suite.BROKER, "--topic", t, "--partition", "0", "--offset", "earliest",
                "--isolation-level", "read_committed", "--timeout-ms", "1500");
            Suite.that("transactions: what was aborted is not read", read.lines("^(one|two|hangs)$").equals(List.of("one", "two")), read);
        } finally {
            producer.close(java.time.Duration.ZERO);
        }
    }

    private static void terminate(String t) throws Exception {
        String id = Suite.named("terminated");
        try (var producer = Suite.producer("transactional.id=" + id)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(t, 1, "k", "fenced")).get();
            Suite.ok("transactions: forceTerminateTransaction", tool("forceTerminateTransaction", "--transactionalId", id));
            Suite.soon("transactions: it is aborted", () -> !tool("describe", "--transactional-id", id).lines("\\s(CompleteAbort|Empty)\\s").isEmpty());
            String thrown = "nothing";
            try {
                producer.send(new ProducerRecord<>(t, 1, "k", "late")).get();
                producer.commitTransaction();
            } catch (java.util.concurrent.ExecutionException e) {
                thrown = e.getCause().getClass().getSimpleName();
            } catch (org.apache.kafka.common.KafkaException e) {
                thrown = e.getClass().getSimpleName();
            }
            Suite.that("transactions: its producer is fenced", thrown.matches("InvalidProducerEpochException|ProducerFencedException"), thrown);
        }
    }

    static void copier() throws Exception {
        String in = Suite.topic("copied", 1);
        String out = Suite.topic("copy", 1);
        int count = Suite.FULL ? 20_000 : 2_000;
        Suite.fill(in, 0, count);
        for (String aborts : List.of("", "--enable-random-aborts")) {
            List<String> arguments = new ArrayList<>(List.of("--input-topic", in, "--input-partition", "0", "--output-topic", out, "--broker-list", Suite.BROKER,
                "--transactional-id", Suite.named("copier"), "--consumer-group", Suite.named("copier" + aborts), "--transaction-size", "150", "--use-group-metadata"));
            if (!aborts.isEmpty()) {
                arguments.add(aborts);
            }
            Suite.ok("transactional-message-copier " + aborts, Tools.run("transactional-message-copier", arguments.toArray(String[]::new)),
                "\"remaining\":" + count % 150 + "\\b");
        }
        var read = Tools.run("console-consumer", "--bootstrap-server", Suite.BROKER, "--topic", out, "--from-beginning", "--isolation-level", "read_committed",
            "--timeout-ms", "3000");
        List<String> values = read.lines("^v\\d+$");
        boolean good = values.size() == 2 * count;
        for (int i = 0; good && i < values.size(); i++) {
            good = values.get(i).equals("v" + i % count);
        }
        Suite.that("transactional-message-copier: each copy is whole, once and in order", good, values.size() + " of " + 2 * count);
    }
}
