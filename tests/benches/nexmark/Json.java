import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;

/** An object that is written, member by member; reading goes by Jackson's tokens, so that nothing is bound by reflection. */
public final class Json {
    private static final JsonFactory FACTORY = new JsonFactory();
    private static final JsonStringEncoder ENCODER = JsonStringEncoder.getInstance();

    private final StringBuilder text = new StringBuilder(256).append('{');

    /** Reads a value; the parser stands at the begin of its object. */
    public interface Reader<T> {
        T read(JsonParser in) throws IOException;
    }

    public static <T> Deserializer<T> reader(Reader<T> reader) {
        return (topic, bytes) -> {
            if (bytes == null) {
                return null;
            }
            try (JsonParser in = FACTORY.createParser(bytes)) {
                if (in.nextToken() != JsonToken.START_OBJECT) {
                    throw new IOException("no object in " + topic);
                }
                return reader.read(in);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        };
    }

    /** For what is only read as JSON. */
    public static <T> Serializer<T> refuse() {
        return (topic, value) -> {
            throw new IllegalStateException(topic + " has a serde of its own");
        };
    }

    public Json put(String name, long value) {
        return name(name).raw(value);
    }

    public Json put(String name, double value) {
        name(name).text.append(value);
        return this;
    }

    public Json put(String name, String value) {
        name(name).text.append('"');
        ENCODER.quoteAsString(value, text);
        text.append('"');
        return this;
    }

    /** A member of several objects. */
    public Json put(String name, Iterable<Json> rows) {
        name(name).text.append('[');
        String between = "";
        for (Json row : rows) {
            text.append(between).append(row);
            between = ",";
        }
        text.append(']');
        return this;
    }

    private Json raw(long value) {
        text.append(value);
        return this;
    }

    private Json name(String name) {
        if (text.length() > 1) {
            text.append(',');
        }
        text.append('"').append(name).append("\":");
        return this;
    }

    @Override
    public String toString() {
        return text + "}";
    }

    public byte[] bytes() {
        return toString().getBytes(StandardCharsets.UTF_8);
    }

    /** The JSON array that is the key of a record. */
    public static String key(Object... parts) {
        StringBuilder key = new StringBuilder("[");
        for (Object part : parts) {
            key.append(key.length() > 1 ? "," : "").append(part);
        }
        return key.append(']').toString();
    }
}
