import java.util.*;
import java.util.stream.*;

/** kafka-console-producer and kafka-console-consumer. */
final class ConsoleChecks {
    private ConsoleChecks() {
    }

    private static Tools.Outcome produce(String topic, String input, String... more) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER, "--topic", topic));
        all.addAll(List.of(more));
        return Tools.fed(input, "console-producer", all.toArray(String[]::new));
    }

    private static Tools.Outcome consume(String topic, int count, String... more) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER, "--topic", topic, "--max-messages", "" + count,
            "--timeout-ms", "10000"));
        all.addAll(List.of(more));
        return Tools.run("console-consumer", all.toArray(String[]::new));
    }

    static void console() throws Exception {
        String t = Suite.topic("console", 1);
        Suite.ok("console-producer: keys", produce(t, "k1:one\nk2:two\nk1:drei äöü\n", "--reader-property", "parse.key=true",
            "--reader-property", "key.separator=:"));
        var read = consume(t, 3, "--from-beginning", "--formatter-property", "print.key=true", "--formatter-property", "print.offset=true",
            "--formatter-property", "print.partition=true");
        Suite.ok("console-consumer: keys, offsets, partitions", read, "^Partition:0\tOffset:0\tk1\tone$", "Offset:1\tk2\ttwo$",
            "Offset:2\tk1\tdrei äöü$", "Processed a total of 3 messages");
        Suite.ok("console-producer: headers", produce(t, "h1:a,h2:b,h1:c\tk3\tfour\n", "--reader-property", "parse.key=true",
            "--reader-property", "parse.headers=true"));
        Suite.ok("console-consumer: headers in order, a key twice", consume(t, 1, "--partition", "0", "--offset", "3", "--formatter-property", "print.headers=true",
            "--formatter-property", "print.key=true"), "^h1:a,h2:b,h1:c\tk3\tfour$");
        Suite.ok("console-producer: a null value", produce(t, "k4\tNULL\n", "--reader-property", "parse.key=true", "--reader-property", "null.marker=NULL"));
        Suite.ok("console-consumer: a null value", consume(t, 1, "--partition", "0", "--offset", "4", "--formatter-property", "print.key=true",
            "--formatter-property", "null.literal=<none>"), "^k4\t<none>$");
        Suite.ok("console-consumer: an offset", consume(t, 2, "--partition", "0", "--offset", "1"), "^two$", "^drei äöü$", "total of 2 messages");
        Suite.ok("console-consumer: earliest", consume(t, 1, "--partition", "0", "--offset", "earliest"), "^one$");
        var late = Tools.run("console-consumer", "--bootstrap-server", Suite.BROKER, "--topic", t, "--partition", "0", "--offset", "latest", "--timeout-ms", "1000");
        Suite.that("console-consumer: latest has nothing yet", late.out().contains("Processed a total of 0 messages"), late);
        groups(t);
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd")) {
            String c = Suite.topic("console-" + codec, 1);
            String text = IntStream.range(0, 500).mapToObj(i -> "line " + i + "\n").collect(Collectors.joining());
            Suite.ok("console-producer: " + codec, produce(c, text, "--compression-codec", codec));
            var back = consume(c, 500, "--from-beginning");
            Suite.that("console-consumer: " + codec, back.code() == 0 && back.out().startsWith(text), back);
        }
        for (String acks : List.of("0", "1", "all")) {
            String c = Suite.topic("console-acks-" + acks, 1);
            Suite.ok("console-producer: acks=" + acks, produce(c, "x\ny\n", "--command-property", "acks=" + acks,
                "--command-property", "enable.idempotence=false", "--sync"));
            Suite.ok("console-consumer: acks=" + acks, consume(c, 2, "--from-beginning"), "^x$", "^y$", "total of 2 messages");
        }
        isolation();
        made();
    }

    private static void groups(String t) throws Exception {
        String group = Suite.named("console-group");
        Suite.ok("console-consumer: a group", consume(t, 2, "--group", group, "--from-beginning"), "^one$", "^two$");
        Suite.ok("console-consumer: the group goes on", consume(t, 1, "--group", group), "^drei äöü$", "total of 1 messages");
        Suite.ok("console-consumer: by a pattern", Tools.run("console-consumer", "--bootstrap-server", Suite.BROKER, "--include", t.substring(0, t.length() - 1) + ".",
            "--from-beginning", "--max-messages", "1", "--timeout-ms", "10000"), "^one$");
    }

    private static void isolation() throws Exception {
        String t = Suite.topic("isolation", 1);
        try (var producer = Suite.producer("transactional.id=" + Suite.named("isolation"))) {
            producer.initTransactions();
            for (String word : List.of("committed", "aborted", "open")) {
                producer.beginTransaction();
                producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(t, word)).get();
                if (word.equals("committed")) {
                    producer.commitTransaction();
                } else if (word.equals("aborted")) {
                    producer.abortTransaction();
                }
            }
            var all = consume(t, 3, "--from-beginning");
            Suite.ok("console-consumer: read_uncommitted", all, "^committed$", "^aborted$", "^open$");
            var committed = Tools.run("console-consumer", "--bootstrap-server", Suite.BROKER, "--topic", t, "--from-beginning", "--isolation-level",
                "read_committed", "--timeout-ms", "2000");
            Suite.that("console-consumer: read_committed", committed.lines("^(committed|aborted|open)$").equals(List.of("committed")), committed);
            producer.commitTransaction();
            committed = consume(t, 2, "--from-beginning", "--isolation-level", "read_committed");
            Suite.that("console-consumer: read_committed after the commit", committed.lines("^(committed|aborted|open)$").equals(List.of("committed", "open")), committed);
        }
    }

    private static void made() throws Exception {
        String t = Suite.named("made-by-use");
        Suite.ok("console-producer: makes a topic", produce(t, "x\n"));
        Suite.ok("console-consumer: the topic that was made", consume(t, 1, "--from-beginning"), "^x$");
    }
}
