import java.nio.file.*;
import java.util.*;

/** A broker of this test's own, which may be killed: always on the same port and log. */
final class Broker {
    private final Path folder;
    private Child child;
    String address = "127.0.0.1:0";

    Broker(Path folder) throws Exception {
        this.folder = folder;
        Files.createDirectories(folder);
        start();
    }

    void start() throws Exception {
        Path output = folder.resolve("broker.log");
        Files.deleteIfExists(output);
        child = new Child(output, List.of(System.getenv("MILLSTREAM_BIN"), "broker", "--data-dir", folder.resolve("data").toString(), "--listener", address,
            "--override", "group.initial.rebalance.delay.ms=0", "--log", "warn"));
        long end = System.nanoTime() + 30_000_000_000L;
        while (System.nanoTime() < end && child.alive()) {
            var ready = child.log().lines().filter(line -> line.startsWith("millstream broker ready on ")).findFirst();
            if (ready.isPresent()) {
                address = ready.get().split(" ")[4];
                return;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("the broker did not come up: " + child.log());
    }

    void kill() throws Exception {
        child.kill();
    }

    void stop() throws Exception {
        child.stop();
    }
}
