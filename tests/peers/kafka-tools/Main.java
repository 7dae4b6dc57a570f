/** Every section of checks, and the line that sums them up. */
public final class Main {
    private Main() {
    }

    public static void main(String[] arguments) {
        Tools.take();
        Suite.section("cluster", ClusterChecks::cluster);
        Suite.section("topics", TopicChecks::topics);
        Suite.section("configs", TopicChecks::configs);
        Suite.section("console", ConsoleChecks::console);
        Suite.section("offsets", LogChecks::offsets);
        Suite.section("delete-records", LogChecks::deleteRecords);
        Suite.section("log-dirs", LogChecks::logDirs);
        Suite.section("groups", GroupChecks::groups);
        Suite.section("reset", GroupChecks::reset);
        Suite.section("transactions", TransactionChecks::transactions);
        Suite.section("copier", TransactionChecks::copier);
        Suite.section("perf", LoadChecks::perf);
        Suite.section("verifiable", LoadChecks::verifiable);
        Suite.section("latency", LoadChecks::latency);
        Suite.section("streams-reset", GroupChecks::streamsReset);
        ClusterChecks.leftOut();
        Tools.OUT.printf("%d passed, %d failed, %d left out%n", Suite.passed, Suite.failed, Suite.leftOut);
        Tools.OUT.flush();
        Runtime.getRuntime().halt(Suite.failed == 0 ? 0 : 1);
    }
}
