import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;

/** Who buys and sells; what no query asks for is left out. */
public record Person(long id, String name, String city, String state, long at) implements Inputs.Timed {
    public static final Serde<Person> SERDE = Binary.serde(Person::write, Person::read);

    public static Person read(JsonParser in) throws IOException {
        long id = 0;
        long at = 0;
        String name = null;
        String city = null;
        String state = null;
        for (String member = in.nextFieldName(); member != null; member = in.nextFieldName()) {
            in.nextToken();
            switch (member) {
                case "id" -> id = in.getLongValue();
                case "name" -> name = in.getText();
                case "city" -> city = in.getText();
                case "state" -> state = in.getText();
                case "at" -> at = in.getLongValue();
                default -> in.skipChildren();
            }
        }
        return new Person(id, name, city, state, at);
    }

    private static void write(Person person, Binary out) {
        out.put(person.id).put(person.name).put(person.city).put(person.state).put(person.at);
    }

    private static Person read(ByteBuffer in) {
        return new Person(in.getLong(), Binary.text(in), Binary.text(in), Binary.text(in), in.getLong());
    }
}
