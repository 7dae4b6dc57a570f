import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * Runs Debezium's connectors within one JVM, as tests/mysql/debezium says on standard input, one JSON object a line:
 *   {"do":"start","name":…,"system":"mysql","config":{…},"out":FILE}   answers when the connector reads the log
 *   {"do":"count","name":…,"records":…}                                answers when it has made so many records
 *   {"do":"finish","name":…,"file":…,"position":…}                     stops it once it has read the log up to there
 * Answers are lines: "ok …" or "error …". What a connector makes goes to its file, one record a line, as JsonConverter writes it.
 */
public final class Capture implements DebeziumEngine.ChangeConsumer<RecordChangeEvent<SourceRecord>> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long PATIENCE_MS = 180_000;
    private final String bean;
    private final BufferedWriter out;
    private final JsonConverter keys = converter(true);
    private final JsonConverter values = converter(false);
    private final ExecutorService thread = Executors.newSingleThreadExecutor();
    private DebeziumEngine<RecordChangeEvent<SourceRecord>> engine;
    private volatile String failure;
    private volatile long records;

    private Capture(JsonNode order) throws IOException {
        out = Files.newBufferedWriter(Path.of(order.get("out").asText()), StandardCharsets.UTF_8);
        bean = "debezium." + order.get("system").asText() + ":type=connector-metrics,context=streaming,server="
                + order.get("config").get("topic.prefix").asText();
        Properties properties = new Properties();
        order.get("config").fields().forEachRemaining(each -> properties.put(each.getKey(), each.getValue().asText()));
        engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class)).using(properties).notifying(this)
                .using((success, message, error) -> {
                    if (!success) failure = message + (error == null ? "" : ": " + error);
                }).build();
        thread.execute(engine);
    }

    private static JsonConverter converter(boolean key) {
        JsonConverter converter = new JsonConverter();
        converter.configure(Map.of("schemas.enable", "true"), key);
        return converter;
    }

    @Override
    public void handleBatch(List<RecordChangeEvent<SourceRecord>> batch,
            DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer) throws InterruptedException {
        try {
            for (RecordChangeEvent<SourceRecord> each : batch) {
                out.write(JSON.writeValueAsString(line(each.record())));
                out.newLine();
                records++;
                committer.markProcessed(each);
            }
            out.flush();
        } catch (IOException error) {
            failure = error.toString();
        }
        committer.markBatchFinished();
    }

    private JsonNode data(JsonConverter converter, String topic, Schema schema, Object value) throws IOException {
        byte[] bytes = converter.fromConnectData(topic, schema, value);
        return bytes == null ? JSON.nullNode() : JSON.readTree(bytes);
    }

    private ObjectNode line(SourceRecord record) throws IOException {
        ObjectNode node = JSON.createObjectNode();
        node.put("topic", record.topic());
        if (record.kafkaPartition() != null) node.put("partition", record.kafkaPartition());
        node.set("key", data(keys, record.topic(), record.keySchema(), record.key()));
        node.set("value", data(values, record.topic(), record.valueSchema(), record.value()));
        if (record.headers().isEmpty()) return node;
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            ObjectNode one = headers.addObject();
            one.put("name", header.key());
            one.set("value", data(values, record.topic(), header.schema(), header.value()));
        }
        return node;
    }

    // Waiting.

    private interface Condition {
        boolean holds() throws Exception;
    }

    private void await(String what, Condition condition) throws Exception {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (!condition.holds()) {
            if (failure != null) throw new IOException(failure);
            if (System.currentTimeMillis() > end) throw new IOException("not " + what + " in time, with " + records + " records");
            Thread.sleep(50);
        }
    }

    private Object metric(String name) throws Exception {
        MBeanServer server = ManagementFactory.getPlatformMBeanServer();
        ObjectName object = new ObjectName(bean);
        return server.isRegistered(object) ? server.getAttribute(object, name) : null;
    }

    private void streaming() throws Exception {
        await("streaming", () -> Boolean.TRUE.equals(metric("Connected")));
    }

    private boolean read(String file, long position) throws Exception {
        return file.equals(metric("BinlogFilename")) && metric("BinlogPosition") instanceof Long at && at >= position
                && metric("QueueTotalCapacity").equals(metric("QueueRemainingCapacity"));
    }

    private void finish(String file, long position) throws Exception {
        await("at " + file + ":" + position, () -> read(file, position));
        // What has left the queue is handed over within some polls.
        long seen = -1;
        while (seen != records) {
            seen = records;
            Thread.sleep(1500);
        }
        close();
    }

    private void close() throws Exception {
        engine.close();
        thread.shutdown();
        thread.awaitTermination(60, TimeUnit.SECONDS);
        out.close();
    }

    public static void main(String[] args) throws Exception {
        Map<String, Capture> running = new LinkedHashMap<>();
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = orders.readLine()) != null; ) {
            JsonNode order = JSON.readTree(line);
            String name = order.get("name").asText();
            try {
                switch (order.get("do").asText()) {
                    case "start" -> {
                        Capture capture = new Capture(order);
                        running.put(name, capture);
                        capture.streaming();
                    }
                    case "count" -> running.get(name).await("done", () -> running.get(name).records >= order.get("records").asLong());
                    case "finish" -> running.remove(name).finish(order.get("file").asText(), order.get("position").asLong());
                    default -> throw new IllegalArgumentException(line);
                }
                System.out.println("ok " + name);
            } catch (Exception error) {
                System.out.println("error " + name + ": " + String.valueOf(error).replace('\n', ' '));
            }
        }
        // Connectors that run on after a failure end with the JVM.
        System.exit(0);
    }
}
