import java.util.*;

/** What the broker says of itself. */
final class ClusterChecks {
    /** The APIs that the tools here, Streams and Connect cannot do without. */
    private static final List<String> APIS = List.of("Produce", "Fetch", "ListOffsets", "Metadata", "OffsetCommit", "OffsetFetch",
        "FindCoordinator", "JoinGroup", "Heartbeat", "LeaveGroup", "SyncGroup", "DescribeGroups", "ListGroups", "ApiVersions",
        "CreateTopics", "DeleteTopics", "DeleteRecords", "InitProducerId", "OffsetForLeaderEpoch", "AddPartitionsToTxn",
        "AddOffsetsToTxn", "EndTxn", "WriteTxnMarkers", "TxnOffsetCommit", "DescribeConfigs", "AlterConfigs", "DescribeLogDirs",
        "CreatePartitions", "DeleteGroups", "IncrementalAlterConfigs", "OffsetDelete", "DescribeCluster", "DescribeProducers",
        "DescribeTransactions", "ListTransactions", "DescribeTopicPartitions");

    private ClusterChecks() {
    }

    static void cluster() throws Exception {
        var id = Tools.run("cluster", "cluster-id", "--bootstrap-server", Suite.BROKER);
        Suite.ok("cluster: the id", id, "^Cluster ID: \\S{22}$");
        Suite.that("cluster: the id stays", Tools.run("cluster", "cluster-id", "--bootstrap-server", Suite.BROKER).out().equals(id.out()), id);
        String[] address = Suite.BROKER.split(":");
        Suite.ok("cluster: list-endpoints", Tools.run("cluster", "list-endpoints", "--bootstrap-server", Suite.BROKER),
            "^\\d+\\s+" + address[0] + "\\s+" + address[1] + "\\s+null\\s+unfenced\\s+broker");
        var versions = Tools.run("broker-api-versions", "--bootstrap-server", Suite.BROKER);
        Suite.ok("broker-api-versions: names the broker", versions, "^" + Suite.BROKER.replace(".", "\\.") + " \\(id: \\d+ rack: null");
        for (String api : APIS) {
            Suite.ok("broker-api-versions: " + api + " is usable", versions, "\\b" + api + "\\(\\d+\\): \\d+( to \\d+)? \\[usable: \\d+\\]");
        }
        Suite.that("broker-api-versions: all that is offered is usable by a client of 4.2",
            versions.lines("NONE USABLE|UNKNOWN").isEmpty(), versions);
        Tools.run("topics", "--bootstrap-server", Suite.BROKER, "--delete", "--if-exists", "--topic", "newtopic");
        Suite.ok("client-compatibility-test", Tools.run("client-compatibility-test", "--bootstrap-server", Suite.BROKER,
            "--topic", Suite.topic("compatible", 1), "--offsets-for-times-supported", "true", "--cluster-id-supported", "true",
            "--expect-record-too-large-exception", "false", "--num-cluster-nodes", "1", "--create-topics-supported", "true",
            "--describe-acls-supported", Boolean.toString(!versions.lines("DescribeAcls\\(29\\): \\d").isEmpty()), "--describe-configs-supported", "true",
            "--idempotent-producer-supported", "true"));
    }

    static void leftOut() {
        Suite.leftOut("kafka-acls, kafka-delegation-tokens", "the broker has no authorizer and no tokens");
        Suite.leftOut("kafka-configs of users, clients, ips", "no quotas");
        Suite.leftOut("kafka-configs of broker-loggers", "levels of a JVM's loggers");
        Suite.leftOut("kafka-reassign-partitions, kafka-leader-election, kafka-replica-verification", "one node has no replicas");
        Suite.leftOut("kafka-metadata-quorum, kafka-features, kafka-storage, kafka-metadata-shell", "no KRaft quorum");
        Suite.leftOut("kafka-share-groups, kafka-share-consumer", "no share groups");
        Suite.leftOut("kafka-streams-groups", "no streams rebalance protocol; Streams uses the classic one");
        Suite.leftOut("kafka-client-metrics", "no telemetry subscriptions");
        Suite.leftOut("group.protocol=consumer", "the newer consumer group protocol is not offered; clients' default is the classic one");
    }
}
