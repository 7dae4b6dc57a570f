import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.TimestampExtractor;

/**
 * The jobs of examples/bench_job.rs, written with Kafka Streams: same topics, same input, same output, byte for byte.
 *
 * Usage: Job words|windows|join INPUT OUTPUT KEY=VALUE …, where the pairs are the configuration of Kafka Streams.
 * Prints "started" when its threads have their partitions, and a line for each changelog that was restored; ends when its standard
 * input does.
 */
public final class Job {
    private Job() {
    }

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put("auto.offset.reset", "earliest");
        for (int i = 3; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        StreamsBuilder builder = new StreamsBuilder();
        switch (arguments[0]) {
            case "words" -> words(builder, arguments[1], arguments[2]);
            case "windows" -> windows(builder, arguments[1], arguments[2]);
            case "join" -> join(builder, arguments[1].split(","), arguments[2]);
            default -> throw new IllegalArgumentException("no job " + arguments[0]);
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.setGlobalStateRestoreListener(new Restored());
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                System.out.println("started");
            }
        });
        streams.start();
        System.in.transferTo(java.io.OutputStream.nullOutputStream());
        // Else the next process waits until the session of this one is over.
        streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
            .withTimeout(Duration.ofSeconds(60)));
        System.exit(0);
    }

    private static void words(StreamsBuilder builder, String input, String output) {
        builder.<String, String>stream(input)
            .flatMapValues(Job::split)
            .groupBy((key, word) -> word, Grouped.as("counts"))
            .count(Materialized.as("counts"))
            .toStream()
            .mapValues(count -> "{\"count\":" + count + "}")
            .to(output);
    }

    /** The runs of letters, marks and numbers, lower-cased. By hand: a regular expression would take a tenth of the job's time. */
    private static List<String> split(String line) {
        List<String> words = new ArrayList<>();
        int start = -1;
        for (int at = 0, next; at < line.length(); at = next) {
            int point = line.codePointAt(at);
            next = at + Character.charCount(point);
            if (isWord(point)) {
                start = start < 0 ? at : start;
            } else if (start >= 0) {
                words.add(line.substring(start, at).toLowerCase(Locale.ROOT));
                start = -1;
            }
        }
        if (start >= 0) {
            words.add(line.substring(start).toLowerCase(Locale.ROOT));
        }
        return words;
    }

    private static boolean isWord(int point) {
        if (point < 128) {
            return point >= 'a' && point <= 'z' || point >= 'A' && point <= 'Z' || point >= '0' && point <= '9';
        }
        return Character.isLetter(point) || switch (Character.getType(point)) {
            case Character.NON_SPACING_MARK, Character.ENCLOSING_MARK, Character.COMBINING_SPACING_MARK,
                Character.DECIMAL_DIGIT_NUMBER, Character.LETTER_NUMBER, Character.OTHER_NUMBER -> true;
            default -> false;
        };
    }

    /** What happened to a key, and when. */
    public record Event(String key, long at) {
    }

    /** How often each key occurred in each ten seconds; five seconds later it is too late. Every change is published. */
    private static void windows(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(Serdes.String(), new JsonSerde<>(Event.class)).withTimestampExtractor(new EventTime()))
            .groupBy((key, event) -> event.key(), Grouped.with("per-key", Serdes.String(), new JsonSerde<>(Event.class)))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5)))
            .count(Materialized.as("per-key"))
            .toStream((window, count) -> window.key() + "@" + window.window().start())
            .mapValues(count -> "{\"n\":" + count + "}")
            .to(output);
    }

    /** What a side of a join says of a key, and when. */
    public record Side(long at, String v) {
    }

    /** Values of both topics with one key that are no more than an hour apart; five seconds later it is too late. */
    private static void join(StreamsBuilder builder, String[] inputs, String output) {
        JsonSerde<Side> serde = new JsonSerde<>(Side.class);
        Consumed<String, Side> consumed = Consumed.with(Serdes.String(), serde)
            .withTimestampExtractor((record, streamTime) -> ((Side) record.value()).at());
        builder.stream(inputs[0], consumed)
            .join(builder.stream(inputs[1], consumed), (left, right) -> "{\"l\":\"" + left.v() + "\",\"r\":\"" + right.v() + "\"}",
                JoinWindows.ofTimeDifferenceAndGrace(Duration.ofHours(1), Duration.ofSeconds(5)),
                StreamJoined.with(Serdes.String(), serde, serde).withName("joined").withStoreName("joined"))
            .to(output);
    }

    /** The event's own time. */
    public static final class EventTime implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long streamTime) {
            return ((Event) record.value()).at();
        }
    }

    /** Objects as JSON. */
    public static final class JsonSerde<T> implements Serde<T> {
        private static final ObjectMapper JSON = new ObjectMapper();
        private final Class<T> type;

        public JsonSerde(Class<T> type) {
            this.type = type;
        }

        @Override
        public Serializer<T> serializer() {
            return (topic, object) -> {
                try {
                    return object == null ? null : JSON.writeValueAsBytes(object);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            };
        }

        @Override
        public Deserializer<T> deserializer() {
            return (topic, bytes) -> {
                try {
                    return bytes == null ? null : JSON.readValue(bytes, type);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            };
        }
    }

    private static final class Restored implements StateRestoreListener {
        private final Map<TopicPartition, Long> begun = new HashMap<>();

        @Override
        public synchronized void onRestoreStart(TopicPartition at, String store, long start, long end) {
            begun.put(at, System.nanoTime());
        }

        @Override
        public void onBatchRestored(TopicPartition at, String store, long end, long records) {
        }

        @Override
        public synchronized void onRestoreEnd(TopicPartition at, String store, long records) {
            System.out.printf(Locale.ROOT, "restored %s %d records in %.3f s%n", at, records, (System.nanoTime() - begun.get(at)) / 1e9);
        }
    }
}
