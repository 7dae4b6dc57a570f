import java.time.Duration;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.processor.TimestampExtractor;

/** The topics that are read. Each query says how much of a record it has to be given: what is skipped is not decoded. */
public record Inputs(StreamsBuilder builder, String prefix) {
    /** How late records may be. */
    public static final Duration DISORDER = Duration.ofSeconds(4);

    /** What happened at a time of its own. */
    public interface Timed {
        long at();
    }

    public KStream<String, Person> persons() {
        return stream("persons", Person::read);
    }

    public KStream<String, Auction> auctions(Json.Reader<Auction> reader) {
        return stream("auctions", reader);
    }

    public KStream<String, Bid> bids(Json.Reader<Bid> reader) {
        return stream("bids", reader);
    }

    public GlobalKTable<String, String> side() {
        Serde<String> values = Serdes.serdeFrom((topic, value) -> new Json().put("value", value).bytes(), Json.reader(Inputs::sideValue));
        return builder.globalTable(prefix + "side", Consumed.with(Serdes.String(), values));
    }

    private <V extends Timed> KStream<String, V> stream(String topic, Json.Reader<V> reader) {
        Serde<V> values = Serdes.serdeFrom(Json.refuse(), Json.reader(reader));
        return builder.stream(prefix + topic, Consumed.with(Serdes.String(), values).withTimestampExtractor(new EventTime()));
    }

    private static String sideValue(com.fasterxml.jackson.core.JsonParser in) throws java.io.IOException {
        String value = null;
        for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
            in.nextToken();
            if (name.equals("value")) {
                value = in.getText();
            }
        }
        return value;
    }

    public static final class EventTime implements TimestampExtractor {
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long streamTime) {
            return ((Timed) record.value()).at();
        }
    }
}
