import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/**
 * Queries of Nexmark, written with Kafka Streams; those of examples/nexmark_job.rs have the same inputs and outputs.
 *
 * Usage: Nexmark QUERY PREFIX OUTPUT KEY=VALUE …: the inputs are the topics PREFIX and persons, auctions, bids, side; the pairs are the
 * configuration of Kafka Streams. Prints "started" when its threads have their partitions, and ends when its standard input does.
 */
public final class Nexmark {
    private Nexmark() {
    }

    /** A query: its class has the name of the query in upper case. */
    public interface Query {
        void declare(Inputs inputs, String output);

        /** Configuration that the query needs. */
        default Map<String, String> settings() {
            return Map.of();
        }
    }

    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        settings.put("auto.offset.reset", "earliest");
        Query query = (Query) Class.forName(arguments[0].toUpperCase()).getDeclaredConstructor().newInstance();
        settings.putAll(query.settings());
        for (int i = 3; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        StreamsBuilder builder = new StreamsBuilder();
        query.declare(new Inputs(builder, arguments[1]), arguments[2]);
        KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
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
}
