import java.io.*;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.TimeUnit;

/** A process of this test, its output in a file. */
final class Child {
    private final Process process;
    private final Path output;

    Child(Path output, List<String> command) throws IOException {
        this.output = output;
        process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(output.toFile())).start();
        Runtime.getRuntime().addShutdownHook(new Thread(process::destroyForcibly));
    }

    /** The application in a JVM. */
    static Child app(Path folder, String topology, String bootstrap, String application, String... settings) throws IOException {
        List<String> command = new ArrayList<>(List.of("java", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dlog4j2.configurationFile=" + System.getenv("LOG4J"), "-cp", System.getenv("APP_CLASSPATH"), "App", topology, bootstrap, application,
            folder.resolve("state-" + application).toString()));
        command.addAll(List.of(settings));
        return new Child(folder.resolve(application + ".log"), command);
    }

    boolean alive() {
        return process.isAlive();
    }

    String log() throws IOException {
        return Files.readString(output);
    }

    /** Ends it as kill -9 does. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        process.waitFor();
    }

    /** Ends it as Ctrl-C does; whether it went within a minute. */
    boolean stop() throws Exception {
        process.destroy();
        if (process.waitFor(60, TimeUnit.SECONDS)) {
            return true;
        }
        kill();
        return false;
    }
}
