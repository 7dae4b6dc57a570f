import java.util.*;
import java.util.regex.*;
import java.util.stream.*;

/** kafka-producer-perf-test, kafka-consumer-perf-test, the verifiable clients and kafka-e2e-latency. */
final class LoadChecks {
    private LoadChecks() {
    }

    private static Tools.Outcome produce(String topic, int count, String... more) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER, "--topic", topic, "--num-records", "" + count,
            "--throughput", "-1", "--record-size", "100"));
        all.addAll(List.of(more));
        return Tools.run("producer-perf-test", all.toArray(String[]::new));
    }

    private static Tools.Outcome consume(String topic, int count, String... more) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.BROKER, "--topic", topic, "--num-records", "" + count,
            "--group", Suite.named("perf-" + topic), "--hide-header", "--timeout", "20000"));
        all.addAll(List.of(more));
        return Tools.run("consumer-perf-test", all.toArray(String[]::new));
    }

    static void perf() throws Exception {
        int count = Suite.FULL ? 1_000_000 : 50_000;
        Map<String, List<String>> loads = new LinkedHashMap<>();
        loads.put("acks-all", List.of("--command-property", "acks=all", "enable.idempotence=false"));
        loads.put("acks-1", List.of("--command-property", "acks=1", "enable.idempotence=false"));
        loads.put("acks-0", List.of("--command-property", "acks=0", "enable.idempotence=false"));
        loads.put("idempotent", List.of("--command-property", "acks=all", "enable.idempotence=true", "max.in.flight.requests.per.connection=5"));
        loads.put("lz4", List.of("--command-property", "acks=all", "compression.type=lz4", "linger.ms=5"));
        loads.put("zstd", List.of("--command-property", "acks=all", "compression.type=zstd", "batch.size=200000"));
        loads.put("transactional", List.of("--transactional-id", Suite.named("perf"), "--transaction-duration-ms", "100"));
        for (var load : loads.entrySet()) {
            String t = Suite.topic("perf-" + load.getKey(), 3);
            var produced = produce(t, count, load.getValue().toArray(String[]::new));
            Suite.ok("producer-perf-test: " + load.getKey(), produced, "^" + count + " records sent, .* records/sec .*99\\.9th\\.$");
            Suite.that("producer-perf-test: " + load.getKey() + " without an error", !produced.out().contains("Exception"), produced);
            String isolation = load.getKey().equals("transactional") ? "isolation.level=read_committed" : "check.crcs=true";
            var consumed = consume(t, count, "--command-property", isolation);
            Matcher row = Pattern.compile("^\\S+ \\S+, \\S+ \\S+, [0-9.]+, [0-9.]+, (\\d+), ", Pattern.MULTILINE).matcher(consumed.out());
            Suite.that("consumer-perf-test: " + load.getKey(), consumed.code() == 0 && row.find() && Integer.parseInt(row.group(1)) == count, consumed);
            if (!load.getKey().equals("transactional")) {
                var ends = Tools.run("get-offsets", "--bootstrap-server", Suite.BROKER, "--topic", t);
                int sum = ends.lines("^" + t + ":").stream().mapToInt(line -> Integer.parseInt(line.replaceAll(".*:", ""))).sum();
                Suite.that("producer-perf-test: " + load.getKey() + " has written each record once", sum == count, ends);
            }
        }
    }

    static void verifiable() throws Exception {
        String t = Suite.topic("verifiable", 2);
        int count = Suite.FULL ? 50_000 : 5_000;
        var produced = Tools.run("verifiable-producer", "--bootstrap-server", Suite.BROKER, "--topic", t, "--max-messages", "" + count, "--acks", "-1",
            "--repeating-keys", "50", "--value-prefix", "7");
        Suite.that("verifiable-producer: every record is acknowledged", produced.code() == 0
            && produced.lines("\"name\":\"producer_send_success\"").size() == count && produced.lines("producer_send_error").isEmpty(), tail(produced));
        Suite.ok("verifiable-producer: the sum", tail(produced), "\"sent\":" + count, "\"acked\":" + count);
        for (String protocol : List.of("org.apache.kafka.clients.consumer.RangeAssignor", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")) {
            String name = protocol.replaceAll(".*\\.", "");
            var consumed = Tools.run("verifiable-consumer", "--bootstrap-server", Suite.BROKER, "--topic", t, "--group-id", Suite.named("verifiable-" + name),
                "--max-messages", "" + count, "--verbose", "--assignment-strategy", protocol);
            List<String> seen = consumed.lines("\"name\":\"record_data\"");
            Set<String> values = seen.stream().map(line -> line.replaceAll(".*\"value\":\"([^\"]*)\".*", "$1")).collect(Collectors.toSet());
            Suite.that("verifiable-consumer: " + name + " reads each value once", consumed.code() == 0 && seen.size() == count && values.size() == count,
                seen.size() + " records, " + values.size() + " values\n" + tail(consumed).out());
            Suite.ok("verifiable-consumer: " + name + " commits", new Tools.Outcome(consumed.code(), String.join("\n", consumed.lines("offsets_committed"))),
                "\"name\":\"offsets_committed\".*\"success\":true|\"success\":true.*offsets_committed");
            Suite.that("verifiable-consumer: " + name + " is assigned and revoked", !consumed.lines("partitions_assigned").isEmpty()
                && !consumed.lines("shutdown_complete").isEmpty(), tail(consumed));
        }
    }

    private static Tools.Outcome tail(Tools.Outcome outcome) {
        List<String> lines = outcome.out().lines().toList();
        return new Tools.Outcome(outcome.code(), String.join("\n", lines.subList(Math.max(0, lines.size() - 8), lines.size())));
    }

    static void latency() throws Exception {
        String t = Suite.topic("latency", 1);
        for (String acks : List.of("1", "all")) {
            Suite.ok("e2e-latency: acks=" + acks, Tools.run("e2e-latency", "--bootstrap-server", Suite.BROKER, "--topic", t, "--num-records", "200",
                "--producer-acks", acks, "--record-size", "100"), "^Avg latency: [0-9.]+ ms$", "^Percentiles: 50th = \\d+, 99th = \\d+, 99\\.9th = \\d+$");
        }
    }
}
