import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Compact bytes for stores and internal topics: numbers as they are, texts behind their length. */
public final class Binary {
    private byte[] bytes = new byte[128];
    private int size;

    public static <T> Serde<T> serde(BiConsumer<T, Binary> write, Function<ByteBuffer, T> read) {
        return Serdes.serdeFrom((topic, value) -> {
            if (value == null) {
                return null;
            }
            Binary out = new Binary();
            write.accept(value, out);
            return Arrays.copyOf(out.bytes, out.size);
        }, (topic, bytes) -> bytes == null ? null : read.apply(ByteBuffer.wrap(bytes)));
    }

    public Binary put(long value) {
        ByteBuffer.wrap(room(8), size, 8).putLong(value);
        size += 8;
        return this;
    }

    public Binary put(String value) {
        byte[] text = value.getBytes(StandardCharsets.UTF_8);
        ByteBuffer.wrap(room(4 + text.length), size, 4).putInt(text.length);
        System.arraycopy(text, 0, bytes, size + 4, text.length);
        size += 4 + text.length;
        return this;
    }

    public <T> Binary put(List<T> values, BiConsumer<T, Binary> write) {
        put(values.size());
        values.forEach(value -> write.accept(value, this));
        return this;
    }

    private byte[] room(int more) {
        if (size + more > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, size + more));
        }
        return bytes;
    }

    public static String text(ByteBuffer in) {
        int length = in.getInt();
        String value = new String(in.array(), in.position(), length, StandardCharsets.UTF_8);
        in.position(in.position() + length);
        return value;
    }

    public static <T> List<T> list(ByteBuffer in, Function<ByteBuffer, T> read) {
        long size = in.getLong();
        List<T> values = new ArrayList<>();
        for (long i = 0; i < size; i++) {
            values.add(read.apply(in));
        }
        return values;
    }
}
