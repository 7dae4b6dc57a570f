import java.time.Duration;
import java.util.*;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.Stores;

/**
 * The application under test; runs until it is ended.
 *
 * Usage: App words|join BOOTSTRAP APPLICATION STATE_DIR [KEY=VALUE …]; its topics are APPLICATION-in, -side and -out.
 */
public final class App {
    private App() {
    }

    public static void main(String[] arguments) {
        String application = arguments[2];
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[1]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[3]);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put("auto.offset.reset", "earliest");
        for (int i = 4; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        StreamsBuilder builder = new StreamsBuilder();
        if (arguments[0].equals("words")) {
            words(builder, application);
        } else {
            join(builder, application);
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(30))));
        streams.start();
    }

    /** Counts words: a repartition topic, a store with a changelog. */
    private static void words(StreamsBuilder builder, String application) {
        builder.<String, String>stream(application + "-in")
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.as("by-word"))
            .count(Named.as("count"), Materialized.as("counts"))
            .toStream()
            .mapValues(count -> Long.toString(count))
            .to(application + "-out");
    }

    /** Orders join a table of customers; their sums by city and ten-second window. */
    private static void join(StreamsBuilder builder, String application) {
        KTable<String, String> cities = builder.table(application + "-side",
            Materialized.<String, String>as(Stores.persistentKeyValueStore("cities")));
        builder.<String, String>stream(application + "-in")
            .join(cities, (amount, city) -> city + " " + amount)
            .groupBy((customer, joined) -> joined.split(" ")[0], Grouped.as("by-city"))
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofDays(1)))
            .aggregate(() -> "0", (city, joined, sum) -> Long.toString(Long.parseLong(sum) + Long.parseLong(joined.split(" ")[1])),
                Materialized.as("sums"))
            .toStream((window, sum) -> window.key() + "@" + window.window().start())
            .to(application + "-out");
    }
}
