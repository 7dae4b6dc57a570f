import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;

/** Who sells things of category 10 in three states: auctions joined with persons by a foreign key. */
public final class Q3 implements Nexmark.Query {
    private static final Set<String> STATES = Set.of("OR", "ID", "CA");

    @Override
    public void declare(Inputs inputs, String output) {
        KTable<String, Person> persons = inputs.persons()
            .filter((id, person) -> STATES.contains(person.state()))
            .toTable(Materialized.with(Serdes.String(), Person.SERDE));
        KTable<String, String> sellers = inputs.auctions(Auction::numbers)
            .filter((id, auction) -> auction.category() == 10)
            .mapValues(auction -> Long.toString(auction.seller()))
            .toTable(Materialized.with(Serdes.String(), Serdes.String()));
        sellers.join(persons, seller -> seller, (seller, person) -> person, Materialized.with(Serdes.String(), Person.SERDE))
            .toStream()
            .mapValues((id, person) -> new Json().put("name", person.name()).put("city", person.city()).put("state", person.state())
                .put("id", Long.parseLong(id)).toString())
            .to(output);
    }
}
