import com.fasterxml.jackson.core.io.schubfach.DoubleToDecimal;
import com.fasterxml.jackson.core.io.schubfach.FloatToDecimal;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.connect.data.Date;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Time;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;

/**
 * Prints what Kafka Connect's converters do, a case in each line. Left out is what ours do not do, and why: JSON in UTF-16 and JSON texts with bytes
 * that are not UTF-8 are refused; an array in a header whose elements are arrays of different kinds has no schema, rather than one that is wrong.
 *
 * {"converter": CLASS, "config": {…}, "direction": "encode" | "decode" | "encode-header" | "decode-header",
 *  "schema": SCHEMA, "value": VALUE, "bytes": HEX, "error": EXCEPTION}
 * For encode, schema and value go in; for decode, bytes. What comes out is there if "error" is not.
 *
 * SCHEMA: null or {"type", "optional", "name"?, "version"?, "doc"?, "parameters"?: [[NAME, VALUE]…], "default"?: VALUE, "items"? | "keys"?, "values"? |
 *         "fields"?: [[NAME, SCHEMA]…]}
 * VALUE:  null or an object with one member that names the type: boolean; int8…int64 as texts; float32 and float64 by their bits as texts;
 *         string; bytes in hex; decimal: [UNSCALED, SCALE]; date in days; time and timestamp in ms, as texts; instant: a java.util.Date of which no schema
 *         says what it is; array: [VALUE…]; map: [[VALUE, VALUE]…]; struct: [SCHEMA, [VALUE…]].
 */
public class Converters {
    static final JsonNodeFactory JSON = JsonNodeFactory.instance;
    static final ObjectMapper MAPPER = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    static final Random RANDOM = new Random(20260);
    static final String DATA = "org.apache.kafka.connect.";
    static final String JSON_CONVERTER = DATA + "json.JsonConverter";
    static final String STRING_CONVERTER = DATA + "storage.StringConverter";
    static final String SIMPLE = DATA + "storage.SimpleHeaderConverter";

    public static void main(String[] arguments) throws Exception {
        plain();
        strings();
        simpleHeaders();
        jsonByHand();
        jsonAtRandom();
        OUT.flush();
    }

    // Schemas and values in the notation of the cases.

    static JsonNode schema(Schema schema) {
        if (schema == null)
            return JSON.nullNode();
        ObjectNode node = JSON.objectNode();
        node.put("type", schema.type().getName());
        node.put("optional", schema.isOptional());
        if (schema.name() != null)
            node.put("name", schema.name());
        if (schema.version() != null)
            node.put("version", schema.version());
        if (schema.doc() != null)
            node.put("doc", schema.doc());
        if (schema.parameters() != null && !schema.parameters().isEmpty()) {
            ArrayNode parameters = node.putArray("parameters");
            schema.parameters().forEach((name, value) -> parameters.addArray().add(name).add(value));
        }
        if (schema.defaultValue() != null)
            node.set("default", value(schema, schema.defaultValue()));
        switch (schema.type()) {
            case ARRAY -> node.set("items", schema(schema.valueSchema()));
            case MAP -> {
                node.set("keys", schema(schema.keySchema()));
                node.set("values", schema(schema.valueSchema()));
            }
            case STRUCT -> {
                ArrayNode fields = node.putArray("fields");
                for (Field field : schema.fields())
                    fields.addArray().add(field.name()).add(schema(field.schema()));
            }
            default -> { }
        }
        return node;
    }

    static JsonNode value(Schema schema, Object value) {
        if (value == null)
            return JSON.nullNode();
        ObjectNode node = JSON.objectNode();
        if (value instanceof Boolean its)
            node.put("boolean", its);
        else if (value instanceof Byte || value instanceof Short || value instanceof Integer || value instanceof Long)
            node.put(value instanceof Byte ? "int8" : value instanceof Short ? "int16" : value instanceof Integer ? "int32" : "int64", value.toString());
        else if (value instanceof Float its)
            node.put("float32", Integer.toUnsignedString(Float.floatToRawIntBits(its)));
        else if (value instanceof Double its)
            node.put("float64", Long.toUnsignedString(Double.doubleToRawLongBits(its)));
        else if (value instanceof String its)
            node.put("string", its);
        else if (value instanceof byte[] its)
            node.put("bytes", HexFormat.of().formatHex(its));
        else if (value instanceof ByteBuffer its)
            node.put("bytes", HexFormat.of().formatHex(its.array()));
        else if (value instanceof BigDecimal its)
            node.putArray("decimal").add(its.unscaledValue().toString()).add(Integer.toString(its.scale()));
        else if (value instanceof java.util.Date its) {
            String name = schema == null || schema.name() == null ? "" : schema.name();
            switch (name) {
                case Date.LOGICAL_NAME -> node.put("date", Long.toString(its.getTime() / 86_400_000));
                case Time.LOGICAL_NAME -> node.put("time", Long.toString(its.getTime()));
                case Timestamp.LOGICAL_NAME -> node.put("timestamp", Long.toString(its.getTime()));
                default -> node.put("instant", Long.toString(its.getTime()));
            }
        } else if (value instanceof List<?> its) {
            ArrayNode values = node.putArray("array");
            Schema inner = schema == null || schema.type() != Schema.Type.ARRAY ? null : schema.valueSchema();
            its.forEach(element -> values.add(value(inner, element)));
        } else if (value instanceof Map<?, ?> its) {
            ArrayNode entries = node.putArray("map");
            boolean known = schema != null && schema.type() == Schema.Type.MAP;
            List<ArrayNode> pairs = new ArrayList<>();
            its.forEach((key, element) -> pairs.add(JSON.arrayNode()
                .add(value(known ? schema.keySchema() : null, key))
                .add(value(known ? schema.valueSchema() : null, element))));
            // Arrays of bytes are hashed by where they are: such a map has another order each time.
            if (its.keySet().stream().anyMatch(key -> key instanceof byte[]))
                pairs.sort(Comparator.comparing(ArrayNode::toString));
            pairs.forEach(entries::add);
        } else if (value instanceof Struct its) {
            ArrayNode values = node.putArray("struct").add(schema(its.schema())).addArray();
            for (Field field : its.schema().fields())
                values.add(value(field.schema(), its.getWithoutDefault(field.name())));
        } else
            throw new IllegalStateException("a value of " + value.getClass());
        return node;
    }

    // Running a converter.

    static ObjectNode start(String converter, Map<String, String> config, String direction) {
        ObjectNode line = JSON.objectNode();
        line.put("converter", converter);
        ObjectNode node = line.putObject("config");
        new TreeMap<>(config).forEach(node::put);
        line.put("direction", direction);
        return line;
    }

    static void print(ObjectNode line) throws Exception {
        OUT.println(MAPPER.writeValueAsString(line));
    }

    static void putBytes(ObjectNode line, byte[] bytes) {
        line.put("bytes", bytes == null ? null : HexFormat.of().formatHex(bytes));
    }

    static Object configured(String name, Map<String, String> config, boolean header) throws Exception {
        Object converter = Class.forName(name).getDeclaredConstructor().newInstance();
        if (header) {
            Map<String, String> all = new LinkedHashMap<>(config);
            all.put("converter.type", "header");
            ((HeaderConverter) converter).configure(all);
        } else
            ((Converter) converter).configure(config, false);
        return converter;
    }

    /** Also gives back what was written, for decoding. */
    static byte[] encode(String name, Map<String, String> config, Schema schema, Object value) throws Exception {
        boolean header = name.equals(SIMPLE);
        ObjectNode line = start(name, config, header ? "encode-header" : "encode");
        line.set("schema", schema(schema));
        line.set("value", value(schema, value));
        byte[] bytes = null;
        try {
            Object converter = configured(name, config, header);
            bytes = header ? ((HeaderConverter) converter).fromConnectHeader("topic", "name", schema, value)
                : ((Converter) converter).fromConnectData("topic", schema, value);
            putBytes(line, bytes);
        } catch (RuntimeException error) {
            line.put("error", error.getClass().getSimpleName());
        }
        print(line);
        return bytes;
    }

    static void decode(String name, Map<String, String> config, byte[] bytes) throws Exception {
        boolean header = name.equals(SIMPLE);
        ObjectNode line = start(name, config, header ? "decode-header" : "decode");
        putBytes(line, bytes);
        try {
            Object converter = configured(name, config, header);
            SchemaAndValue out = header ? ((HeaderConverter) converter).toConnectHeader("topic", "name", bytes)
                : ((Converter) converter).toConnectData("topic", bytes);
            line.set("schema", schema(out == null ? null : out.schema()));
            line.set("value", out == null ? JSON.nullNode() : value(out.schema(), out.value()));
        } catch (RuntimeException error) {
            line.put("error", error.getClass().getSimpleName());
        }
        print(line);
    }

    static void decode(String name, Map<String, String> config, String text) throws Exception {
        decode(name, config, text.getBytes(StandardCharsets.UTF_8));
    }

    // The cases.

    static void plain() throws Exception {
        String[] names = {"Boolean", "ByteArray", "Short", "Integer", "Long", "Float", "Double"};
        Schema[] schemas = {Schema.BOOLEAN_SCHEMA, Schema.BYTES_SCHEMA, Schema.INT16_SCHEMA, Schema.INT32_SCHEMA, Schema.INT64_SCHEMA,
            Schema.FLOAT32_SCHEMA, Schema.FLOAT64_SCHEMA};
        Object[] values = {true, false, new byte[] {1, 2, -1}, new byte[0], (short) -2, Short.MAX_VALUE, -2, Integer.MAX_VALUE, -2L, Long.MAX_VALUE,
            1.5f, Float.NaN, -1.5, Double.MAX_VALUE, "text", (byte) 1, null};
        for (int i = 0; i < names.length; i++) {
            String converter = DATA + "converters." + names[i] + "Converter";
            for (Object value : values) {
                encode(converter, Map.of(), null, value);
                encode(converter, Map.of(), schemas[i], value);
            }
            encode(converter, Map.of(), Schema.STRING_SCHEMA, values[2 * i]);
            encode(converter, Map.of(), Schema.STRING_SCHEMA, null);
            decode(converter, Map.of(), (byte[]) null);
            for (int length : new int[] {0, 1, 2, 3, 4, 5, 8, 9}) {
                byte[] bytes = new byte[length];
                decode(converter, Map.of(), bytes.clone());
                Arrays.fill(bytes, (byte) 1);
                decode(converter, Map.of(), bytes.clone());
                RANDOM.nextBytes(bytes);
                decode(converter, Map.of(), bytes);
            }
        }
    }

    static void strings() throws Exception {
        String text = "a\"\\\u00e9\u20ac\ud83d\ude00\n\u0000z";
        for (String encoding : new String[] {"UTF-8", "utf8", "ISO-8859-1", "latin1", "US-ASCII", "UTF-16", "UTF-16BE", "UTF-16LE", "none"}) {
            Map<String, String> config = Map.of("converter.encoding", encoding);
            for (Object value : new Object[] {text, "", 12, null})
                encode(STRING_CONVERTER, config, null, value);
            for (String hex : new String[] {"", "61c3a9", "61e9", "feff0061d83dde00", "fffe61003dd800de", "0061d83d", "006100"})
                decode(STRING_CONVERTER, config, HexFormat.of().parseHex(hex));
        }
        for (String damaged : new String[] {"ff", "c3", "c328", "e282", "e28228", "e08080", "eda080", "edbfbf61", "f09f98", "f09f9828", "f8888080", "c0af", "f4908080",
            "61ed", "eda0", "eda080eda080c3", "80"})
            decode(STRING_CONVERTER, Map.of(), HexFormat.of().parseHex(damaged));
        decode(STRING_CONVERTER, Map.of(), (byte[]) null);
        for (int i = 0; i < 60; i++) {
            Schema schema = randomSchema(3, false);
            Object value = randomValue(schema);
            if (!holdsBytes(schema))
                encode(STRING_CONVERTER, Map.of(), schema, value);
        }
        for (long ms : new long[] {0, -1, 1_566_570_894_346L, -12_219_292_800_001L, -12_219_292_800_000L, -62_135_769_600_001L, 253_402_300_800_000L})
            encode(STRING_CONVERTER, Map.of(), Timestamp.SCHEMA, new java.util.Date(ms));
    }

    static boolean holdsBytes(Schema schema) {
        return switch (schema.type()) {
            case BYTES -> !Decimal.LOGICAL_NAME.equals(schema.name());
            case ARRAY -> holdsBytes(schema.valueSchema());
            case MAP -> holdsBytes(schema.keySchema()) || holdsBytes(schema.valueSchema());
            case STRUCT -> schema.fields().stream().anyMatch(field -> holdsBytes(field.schema()));
            default -> false;
        };
    }

    static void simpleHeaders() throws Exception {
        String[] texts = {"", " ", "null", " null ", "true", "false", " true ", "True", "true}", "truee", "1", "+1", "-1", "127", "128", "-129", "32768", "2147483648",
            "9223372036854775807", "9223372036854775808", "-9223372036854775809", "007", "1.", ".5", "-.5", "+.5", "1.0", "1.50", "1e3", "1E3", "1e-3", "1.5e3", "1e400",
            "-1e400", "1e39", "1.1e39", "1.5e400", "3.4028236e38", "1e", "1x", "0x10", "1,5", "1 2", "-", "+", "--1", "1e+5", "0.1", "123456789.123456789", "1e-50",
            "100e-2", "0e5", "0.000", "12345678901234567890123", "text", "two words", " padded ", "\"quoted\"", "a\"b", "a:b", "a,b", "{", "}", "[", "]", "[]", "{}",
            "[ ]", "[1]", "[1,2,3]", "[1, 2, 3]", "[1,]", "[,1]", "[1 2]", "[1,300]", "[300,1]", "[1,70000,1.5]", "[1.5,2]", "[1,1e40]", "[1.5,1.5e300]",
            "[1.5,9223372036854775808]", "[\"a\"]", "[\"a\",\"b\"]", "[\"a\",1]", "[1,\"a\"]", "[a]", "[null]", "[null,1]", "[1,null]", "[true,false]", "[true,1]",
            "[[1],[2]]", "[[1],[\"a\"]]", "[{}]", "[{\"a\":1}]", "[1", "[1]x", "[1] ", " [1]", "x[1]", "{\"a\":1}", "{\"a\":1,\"b\":2}",
            "{\"a\":1 \"b\":2}", "{\"a\":1,}", "{\"a\":null}", "{\"a\":1,\"b\":null}", "{\"a\":1,\"b\":\"x\"}", "{1:2}", "{1:2,300:4}", "{1:2,1:3}", "{a:1}", "{\"a\"}",
            "{\"a\":}", "{:1}", "{null:1}", "{\"a\":[1,2]}", "{\"a\":{\"b\":[true]}}", "{true:\"x\"}", "{\"a\":1", "2019-08-23", "2019-8-23", "2019-13-45", "2019-08-2x",
            "20190823x1", "1234567890", "0000-00-00", "1500-02-29", "1582-10-10", "0001-01-01", "2019-08-23T14:34:54.346Z", "2019-08-23T14:34:54.346", "14:34:54.346Z",
            "14:34:54.346X", "14\\:34\\:54.346Z", "2019-08-23T14\\:34\\:54.346Z", "99:99:99.999Z", "1:34:54.3460Z", "[\"2019-08-23\"]", "[\"14:34:54.346Z\"]",
            "[\"2019-08-23T14:34:54.346Z\"]", "[2019-08-23]", "[2019-08-23,2019-08-24]", "[14:34:54.346Z]", "{\"t\":\"14:34:54.346Z\"}", "{2019-08-23:1}",
            "[\"2019-08-23\",1]", "[1,\"2019-08-23\"]", "[70000,\"2019-08-23\"]", "[1,\"2019-08-23T14:34:54.346Z\"]", "[1.5,\"2019-08-23T14:34:54.346Z\"]",
            "[\"14:34:54.346Z\",100000000]", "[100000000,\"14:34:54.346Z\"]", "[\"a\\\"b\"]", "[\"a\\\\\"]", "a\\b", "\\[1]", "[\"\"]", "[\" \"]", "[\"true\"]",
            "\u00e9", "[\"\u20ac\ud83d\ude00\"]", "1\u00e9", "[1,9223372036854775808]", "[9223372036854775808,1]", "[9223372036854775808,9223372036854775809]",
            "[1.5,true]", "\t1\n", "[\t1 ,\n2 ]", "NaN", "Infinity", "-Infinity", "1f", "1d", "1_000", "{\"a\":1}{", "[1][2]", "null,", "[null,null]", "{\"a\":[]}"};
        for (String text : texts)
            decode(SIMPLE, Map.of(), text);
        decode(SIMPLE, Map.of(), (byte[]) null);
        decode(SIMPLE, Map.of(), new byte[] {(byte) 0xff, 'a'});
        String[] pieces = {"[", "]", "{", "}", ",", ":", "\"", "1", "300", "1.5", "true", "null", "a", " ", "\\", "2019-08-23", "-"};
        for (int i = 0; i < 400; i++) {
            StringBuilder text = new StringBuilder(RANDOM.nextBoolean() ? "" : RANDOM.nextBoolean() ? "[" : "{\"k\":");
            for (int j = RANDOM.nextInt(8); j >= 0; j--)
                text.append(pieces[RANDOM.nextInt(pieces.length)]);
            if (RANDOM.nextBoolean())
                text.append(text.charAt(0) == '[' ? "]" : text.charAt(0) == '{' ? "}" : "");
            decode(SIMPLE, Map.of(), text.toString());
        }
        for (int i = 0; i < 150; i++) {
            Schema schema = randomSchema(3, false);
            byte[] bytes = encode(SIMPLE, Map.of(), schema, randomValue(schema));
            if (bytes != null)
                decode(SIMPLE, Map.of(), bytes);
        }
        for (long ms : new long[] {0, 1, -1, 86_399_999, 86_400_000, 86_400_001, 1_566_570_894_346L, 1_566_518_400_000L, -12_219_292_800_001L, 253_402_300_800_000L})
            encode(SIMPLE, Map.of(), Timestamp.SCHEMA, new java.util.Date(ms));
    }

    static final Map<String, String> BARE = Map.of("schemas.enable", "false");

    static void jsonByHand() throws Exception {
        // What is read without schemas.
        String[] texts = {"", " ", "null", "true", "false", "1", "-1", "007", "-0", "0.0", "-0.0", "1.5", "1e3", "1E+3", "1e-3", "1e400", "-1e-400", "9223372036854775807",
            "9223372036854775808", "18446744073709551617", "12345678901234567890.5", "\"a\"", "\"\\u00e9\\n\\/\\ud83d\\ude00\"", "\"\u00e9\u20ac\ud83d\ude00\"", "[]", "{}",
            "[1,2.5,\"a\",null,true,[],{}]", "{\"a\":1,\"b\":[1],\"a\":2}", "{\"a\":{\"b\":{\"c\":null}}}", " { \"a\" : 1 } ", "1 2", "{} x", "[1]]", "\"a\"x", "1x", "1,", "1]",
            "truex", "true]", "true 1", "nul", "nulL", "NaN", "+1", ".5", "1.", "1.e3", "1e", "-", "--1", "01.5", "00", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}",
            "{a:1}", "{'a':1}", "'a'", "{\"a\":1,}", "{,}", "[", "{", "\"a", "\"a\nb\"", "\"\\x\"", "\"\\u12\"", "\"\t\"", "// c\n1", "/**/1", "\ufeff1", "\ufeff{\"a\":1}", 
            "[01]", "1e5", "1.0", "100000000000000000000", "-9223372036854775809", "{\"\":1}", "{\"a\\u0062\":1}", "\u007f", "\"\u007f\"", "1\n", "1\t2", "1/2", "0x1", "1_0"};
        for (String text : texts) {
            decode(JSON_CONVERTER, BARE, text);
            decode(JSON_CONVERTER, Map.of(), text);
            decode(JSON_CONVERTER, Map.of(), "{\"schema\":null,\"payload\":" + text + "}");
        }
        decode(JSON_CONVERTER, BARE, "[".repeat(50) + "]".repeat(50));
        decode(JSON_CONVERTER, BARE, "[".repeat(1001) + "]".repeat(1001));
        decode(JSON_CONVERTER, BARE, "1".repeat(1000));
        decode(JSON_CONVERTER, BARE, "1".repeat(1001));
        decode(JSON_CONVERTER, Map.of(), (byte[]) null);
        decode(JSON_CONVERTER, BARE, (byte[]) null);
        for (String hex : new String[] {"22ff22", "22c322", "ff"})
            decode(JSON_CONVERTER, BARE, HexFormat.of().parseHex(hex));
        // Envelopes.
        String string = "{\"type\":\"string\",\"optional\":false}";
        for (String text : new String[] {"{\"schema\":S}", "{\"payload\":1}", "{\"schema\":S,\"payload\":\"a\",\"x\":1}", "{\"payload\":\"a\",\"schema\":S}",
            "{ \"schema\" : S , \"payload\" : \"a\" } ", "{\"schema\":S,\"payload\":\"a\"}", "{\"schema\":S,\"payload\":\"a\"} x", "{\"schema\":S,\"payload\":\"a\"",
            "{\"schema\":S,\"payload\":\"a\",\"payload\":\"b\"}", "{\"schema\":S,\"payload\":null}", "{\"schema\":S,\"payload\":1}", "{\"schema\":1,\"payload\":1}",
            "{\"schema\":\"string\",\"payload\":1}", "{\"schema\":{},\"payload\":1}", "{\"schema\":[],\"payload\":1}", "[]", "{\"schema\":S,\"payload\":\"a\\n\"}"})
            decode(JSON_CONVERTER, Map.of(), text.replace("S", string));
        // Schemas.
        for (String type : new String[] {"{\"type\":\"x\"}", "{\"type\":1}", "{\"type\":\"array\"}", "{\"type\":\"array\",\"items\":null}", "{\"type\":\"map\",\"keys\":S}",
            "{\"type\":\"map\",\"keys\":null,\"values\":S}", "{\"type\":\"map\",\"keys\":S,\"values\":null}", "{\"type\":\"struct\"}", "{\"type\":\"struct\",\"fields\":{}}",
            "{\"type\":\"struct\",\"fields\":[]}", "{\"type\":\"struct\",\"fields\":[1]}", "{\"type\":\"struct\",\"fields\":[S]}",
            "{\"type\":\"struct\",\"fields\":[{\"type\":\"int8\",\"field\":\"\"}]}", "{\"type\":\"struct\",\"fields\":[{\"type\":\"int8\",\"field\":1}]}",
            "{\"type\":\"struct\",\"fields\":[{\"type\":\"int8\",\"field\":\"a\"},{\"type\":\"int8\",\"field\":\"a\"}]}", "{\"type\":\"string\",\"optional\":1}",
            "{\"type\":\"string\",\"optional\":\"true\"}", "{\"type\":\"string\",\"name\":1}", "{\"type\":\"string\",\"version\":\"1\"}", "{\"type\":\"string\",\"version\":1.5}",
            "{\"type\":\"string\",\"version\":4294967297}", "{\"type\":\"string\",\"doc\":null}", "{\"type\":\"string\",\"parameters\":{\"a\":1}}",
            "{\"type\":\"string\",\"parameters\":{}}", "{\"type\":\"string\",\"parameters\":[]}", "{\"type\":\"string\",\"parameters\":{\"b\":\"1\",\"a\":\"2\"}}",
            "{\"type\":\"string\",\"default\":null}", "{\"type\":\"string\",\"optional\":true,\"default\":null}", "{\"type\":\"string\",\"default\":1}",
            "{\"type\":\"int32\",\"default\":\"x\"}", "{\"type\":\"int8\",\"default\":300}", "{\"type\":\"string\",\"default\":\"d\"}",
            "{\"type\":\"array\",\"items\":S,\"default\":[\"a\",null]}", "{\"type\":\"string\",\"extra\":1}"}) {
            String filled = type.replace("S", string);
            decode(JSON_CONVERTER, Map.of(), "{\"schema\":" + filled + ",\"payload\":null}");
            decode(JSON_CONVERTER, Map.of(), "{\"schema\":" + filled.replace("}", ",\"optional\":true}") + ",\"payload\":null}");
            decode(JSON_CONVERTER, Map.of(), "{\"schema\":" + filled + ",\"payload\":\"x\"}");
            decode(JSON_CONVERTER, Map.of("schema.content", filled), "\"x\"");
            decode(JSON_CONVERTER, Map.of("schema.content", filled, "schemas.enable", "false"), "\"x\"");
        }
        for (String content : new String[] {"", "null", "x", "{", "1"})
            decode(JSON_CONVERTER, Map.of("schema.content", content), "{\"schema\":" + string + ",\"payload\":\"a\"}");
        // Every type with every kind of payload.
        String[] payloads = {"null", "true", "1", "-1", "300", "70000", "2147483648", "-2147483649", "9223372036854775808", "1.9", "-1.9", "1e2", "1e30", "1e-30", "1e70", "-0.0",
            "1.00", "\"\"", "\"x\"", "\"1\"", "\"AQI=\"", "\"AQI\"", "\"A Q\"", "\"AQID\\nAQ==\"", "\"AR==\"", "\"AQ==AQ==\"", "\"A===\"", "\"AQ-_\"", "[]", "[1]", "[null]", "[[1,2]]",
            "[[1,2],[1,3]]", "[[1]]", "[\"a\"]", "{}", "{\"a\":1}", "{\"a\":null}", "{\"b\":1,\"a\":2}", "86400000", "86400001"};
        String[] types = {"\"type\":\"boolean\"", "\"type\":\"int8\"", "\"type\":\"int16\"", "\"type\":\"int32\"", "\"type\":\"int64\"", "\"type\":\"float\"",
            "\"type\":\"double\"", "\"type\":\"string\"", "\"type\":\"bytes\"", "\"type\":\"array\",\"items\":{\"type\":\"int32\"}",
            "\"type\":\"array\",\"items\":{\"type\":\"string\"}", "\"type\":\"map\",\"keys\":{\"type\":\"string\"},\"values\":{\"type\":\"int32\"}",
            "\"type\":\"map\",\"keys\":{\"type\":\"int32\"},\"values\":{\"type\":\"int32\"}", "\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"field\":\"a\"}]",
            "\"type\":\"struct\",\"fields\":[{\"type\":\"string\",\"field\":\"a\",\"optional\":true}]",
            "\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"field\":\"a\",\"default\":7}]",
            "\"type\":\"bytes\",\"name\":\"" + Decimal.LOGICAL_NAME + "\",\"version\":1,\"parameters\":{\"scale\":\"2\"}", "\"type\":\"bytes\",\"name\":\"" + Decimal.LOGICAL_NAME + "\"",
            "\"type\":\"int32\",\"name\":\"" + Date.LOGICAL_NAME + "\",\"version\":1", "\"type\":\"int32\",\"name\":\"" + Time.LOGICAL_NAME + "\",\"version\":1",
            "\"type\":\"int64\",\"name\":\"" + Timestamp.LOGICAL_NAME + "\",\"version\":1", "\"type\":\"string\",\"name\":\"" + Timestamp.LOGICAL_NAME + "\""};
        for (String type : types)
            for (String payload : payloads) {
                decode(JSON_CONVERTER, Map.of(), "{\"schema\":{" + type + "},\"payload\":" + payload + "}");
                decode(JSON_CONVERTER, Map.of(), "{\"schema\":{\"type\":\"struct\",\"fields\":[{" + type + ",\"field\":\"f\"}]},\"payload\":{\"f\":" + payload + "}}");
            }
        for (String replace : new String[] {"true", "false"})
            for (String payload : new String[] {"{}", "{\"a\":null}", "{\"b\":null}", "{\"a\":1,\"b\":2}"})
                decode(JSON_CONVERTER, Map.of("replace.null.with.default", replace), "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":true,"
                    + "\"default\":5,\"field\":\"a\"},{\"type\":\"int32\",\"optional\":true,\"field\":\"b\"}]},\"payload\":" + payload + "}");
        jsonMismatches();
    }

    static void jsonMismatches() throws Exception {
        Schema decimal = Decimal.schema(2);
        Struct other = new Struct(SchemaBuilder.struct().field("a", Schema.INT32_SCHEMA).build()).put("a", 1);
        Map<Object, Object> mixed = new LinkedHashMap<>();
        mixed.put("a", 1);
        mixed.put(2, null);
        Map<Object, Object> texts = new LinkedHashMap<>();
        texts.put("a\"", null);
        texts.put("\u00e9", List.of(1L, 2.5f));
        Object[] values = {null, true, (byte) 1, (short) 2, 3, 4L, 1.5f, 2.5, Float.NaN, Double.NEGATIVE_INFINITY, "a\u0001\u001f\u007f\"\\/\b\f\n\r\t\u2028\ud83d\ude00\u00e9", new byte[] {1},
            ByteBuffer.wrap(new byte[] {1, 2}), new BigDecimal("1.50"), new BigDecimal("1.5"), new java.util.Date(0), new java.util.Date(86_400_000L), Arrays.asList(1, null, "a"),
            mixed, texts, new LinkedHashMap<>(), List.of(), other};
        Schema[] schemas = {null, Schema.BOOLEAN_SCHEMA, Schema.INT8_SCHEMA, Schema.INT16_SCHEMA, Schema.INT32_SCHEMA, Schema.INT64_SCHEMA, Schema.FLOAT32_SCHEMA,
            Schema.FLOAT64_SCHEMA, Schema.STRING_SCHEMA, Schema.OPTIONAL_STRING_SCHEMA, Schema.BYTES_SCHEMA, decimal, Date.SCHEMA, Time.SCHEMA, Timestamp.SCHEMA,
            SchemaBuilder.array(Schema.OPTIONAL_INT32_SCHEMA).build(), SchemaBuilder.map(Schema.STRING_SCHEMA, Schema.OPTIONAL_INT32_SCHEMA).build(),
            SchemaBuilder.map(Schema.INT32_SCHEMA, Schema.OPTIONAL_INT32_SCHEMA).build(), SchemaBuilder.struct().field("a", Schema.INT32_SCHEMA).build(),
            SchemaBuilder.struct().field("b", Schema.INT32_SCHEMA).build(), SchemaBuilder.string().defaultValue("d").build(),
            SchemaBuilder.string().optional().defaultValue("d").build(), SchemaBuilder.bytes().name(Decimal.LOGICAL_NAME).build()};
        for (Schema schema : schemas)
            for (Object value : values) {
                // A date with no schema that says which cannot be told in the notation of values.
                boolean date = value instanceof java.util.Date;
                String name = schema == null || schema.name() == null ? "" : schema.name();
                if (date && !List.of(Date.LOGICAL_NAME, Time.LOGICAL_NAME, Timestamp.LOGICAL_NAME).contains(name))
                    continue;
                encode(JSON_CONVERTER, Map.of(), schema, value);
                encode(JSON_CONVERTER, Map.of("schemas.enable", "false", "decimal.format", "numeric", "replace.null.with.default", "false"), schema, value);
            }
        for (String number : new String[] {"0", "0.00", "0E+3", "0E-9", "1E+3", "123456789012345678901234567890", "-1.5E-10", "0.000001", "0.0000001", "-99.99"}) {
            BigDecimal its = new BigDecimal(number);
            encode(JSON_CONVERTER, Map.of("decimal.format", "NUMERIC"), Decimal.schema(its.scale()), its);
            encode(JSON_CONVERTER, Map.of(), Decimal.schema(its.scale()), its);
        }
        for (String config : new String[] {"base64", "Numeric", "x"})
            encode(JSON_CONVERTER, Map.of("decimal.format", config), decimal, new BigDecimal("1.50"));
    }

    static void jsonAtRandom() throws Exception {
        List<Map<String, String>> configs = List.of(Map.of(), Map.of(), BARE, Map.of("decimal.format", "NUMERIC"), Map.of("replace.null.with.default", "false"),
            Map.of("schemas.enable", "false", "replace.null.with.default", "false", "decimal.format", "numeric"));
        for (int i = 0; i < 500; i++) {
            Schema schema = randomSchema(4, true);
            Map<String, String> config = configs.get(RANDOM.nextInt(configs.size()));
            byte[] bytes = encode(JSON_CONVERTER, config, schema, randomValue(schema));
            if (bytes != null && RANDOM.nextInt(3) > 0)
                decode(JSON_CONVERTER, config, bytes);
            if (bytes != null && RANDOM.nextInt(3) == 0)
                decode(JSON_CONVERTER, config, damaged(bytes));
        }
        for (int i = 0; i < 150; i++)
            encode(JSON_CONVERTER, BARE, Schema.FLOAT64_SCHEMA, randomDouble());
        for (int i = 0; i < 150; i++)
            encode(JSON_CONVERTER, BARE, Schema.FLOAT32_SCHEMA, randomFloat());
    }

    /** One of the values of a JSON text replaced by another. */
    static byte[] damaged(byte[] bytes) {
        String text = new String(bytes, StandardCharsets.UTF_8);
        String[] from = {"true", "false", "null", ":0", ":1", ":-", "\"int32\"", "\"string\"", "[", "{", "]", "\"", ",", "optional", "default"};
        String[] to = {"true", "null", "[]", "{}", "1.5", "\"\"", ":", "", "\"int64\"", "7"};
        String its = from[RANDOM.nextInt(from.length)];
        int at = text.indexOf(its, RANDOM.nextInt(text.length()));
        if (at < 0)
            return bytes;
        return (text.substring(0, at) + to[RANDOM.nextInt(to.length)] + text.substring(at + its.length())).getBytes(StandardCharsets.UTF_8);
    }

    // Schemas and values at random.

    static Schema randomSchema(int depth, boolean decorated) {
        SchemaBuilder builder = switch (RANDOM.nextInt(depth > 0 ? 19 : 13)) {
            case 0 -> SchemaBuilder.bool();
            case 1 -> SchemaBuilder.int8();
            case 2 -> SchemaBuilder.int16();
            case 3 -> SchemaBuilder.int32();
            case 4 -> SchemaBuilder.int64();
            case 5 -> SchemaBuilder.float32();
            case 6 -> SchemaBuilder.float64();
            case 7 -> SchemaBuilder.bytes();
            case 8 -> SchemaBuilder.string();
            case 9 -> Decimal.builder(RANDOM.nextInt(12) - 2);
            case 10 -> Date.builder();
            case 11 -> Time.builder();
            case 12 -> Timestamp.builder();
            case 13, 14 -> SchemaBuilder.array(randomSchema(depth - 1, decorated));
            case 15 -> SchemaBuilder.map(Schema.STRING_SCHEMA, randomSchema(depth - 1, decorated));
            case 16 -> SchemaBuilder.map(RANDOM.nextBoolean() ? Schema.INT32_SCHEMA : randomSchema(0, false), randomSchema(depth - 1, decorated));
            default -> {
                SchemaBuilder struct = SchemaBuilder.struct();
                for (int i = RANDOM.nextInt(5); i >= 0; i--)
                    struct.field(randomName() + i, randomSchema(depth - 1, decorated));
                yield struct;
            }
        };
        if (RANDOM.nextInt(3) == 0)
            builder.optional();
        if (decorated) {
            if (builder.name() == null && RANDOM.nextInt(4) == 0)
                builder.name(randomName());
            if (builder.version() == null && RANDOM.nextInt(4) == 0)
                builder.version(RANDOM.nextInt(100));
            if (RANDOM.nextInt(4) == 0)
                builder.doc(randomText());
            for (int i = RANDOM.nextInt(8); i < 2; i++)
                builder.parameter(randomName() + i, randomText());
            if (RANDOM.nextInt(4) == 0 && builder.type().isPrimitive()) {
                Object value = randomValue(builder);
                if (value != null)
                    builder.defaultValue(value);
            }
        }
        return builder.build();
    }

    static Object randomValue(Schema schema) {
        if (schema.isOptional() && RANDOM.nextInt(4) == 0)
            return null;
        if (schema.name() != null)
            switch (schema.name()) {
                case Decimal.LOGICAL_NAME:
                    return new BigDecimal(new BigInteger(RANDOM.nextInt(90), RANDOM).subtract(BigInteger.valueOf(1000)), Integer.parseInt(schema.parameters().get("scale")));
                case Date.LOGICAL_NAME:
                    return new java.util.Date((RANDOM.nextInt(60_000) - 10_000) * 86_400_000L);
                case Time.LOGICAL_NAME:
                    return new java.util.Date(RANDOM.nextInt(86_400_000));
                case Timestamp.LOGICAL_NAME:
                    return new java.util.Date(RANDOM.nextLong() >> (RANDOM.nextInt(20) + 22));
                default:
            }
        return switch (schema.type()) {
            case BOOLEAN -> RANDOM.nextBoolean();
            case INT8 -> (byte) RANDOM.nextInt();
            case INT16 -> (short) RANDOM.nextInt();
            case INT32 -> RANDOM.nextInt() >> RANDOM.nextInt(32);
            case INT64 -> RANDOM.nextLong() >> RANDOM.nextInt(64);
            case FLOAT32 -> randomFloat();
            case FLOAT64 -> randomDouble();
            case STRING -> randomText();
            case BYTES -> {
                byte[] bytes = new byte[RANDOM.nextInt(8)];
                RANDOM.nextBytes(bytes);
                yield bytes;
            }
            case ARRAY -> {
                List<Object> values = new ArrayList<>();
                for (int i = RANDOM.nextInt(4); i > 0; i--)
                    values.add(randomValue(schema.valueSchema()));
                yield values;
            }
            case MAP -> {
                Map<Object, Object> entries = new LinkedHashMap<>();
                for (int i = RANDOM.nextInt(4); i > 0; i--) {
                    Object key = randomValue(schema.keySchema());
                    entries.put(key instanceof byte[] bytes ? ByteBuffer.wrap(bytes) : key, randomValue(schema.valueSchema()));
                }
                yield entries;
            }
            case STRUCT -> {
                Struct struct = new Struct(schema);
                for (Field field : schema.fields()) {
                    Object value = randomValue(field.schema());
                    if (value != null)
                        struct.put(field, value);
                }
                yield struct;
            }
        };
    }

    static String randomName() {
        String[] names = {"a", "id", "naïve", "with space", "quo\"te", "org.example.Thing", "x_1"};
        return names[RANDOM.nextInt(names.length)];
    }

    static String randomText() {
        String letters = "abc XYZ09\"\\/\n\t\u0000\u001b\u00e9\u20ac\u2028";
        StringBuilder text = new StringBuilder();
        for (int i = RANDOM.nextInt(RANDOM.nextInt(8) == 0 ? 80 : 10); i > 0; i--)
            if (RANDOM.nextInt(20) == 0)
                text.appendCodePoint(0x1f600 + RANDOM.nextInt(50));
            else
                text.append(letters.charAt(RANDOM.nextInt(letters.length())));
        return text.toString();
    }

    /** One that all versions of Java write alike: before 19 some were written with more digits than they need. */
    static double randomDouble() {
        while (true) {
            double number = switch (RANDOM.nextInt(4)) {
                case 0 -> Double.longBitsToDouble(RANDOM.nextLong());
                case 1 -> RANDOM.nextInt(100_000) / 100.0;
                case 2 -> RANDOM.nextInt(1000);
                default -> RANDOM.nextGaussian() * Math.pow(10, RANDOM.nextInt(30) - 15);
            };
            if (Double.toString(number).equals(DoubleToDecimal.toString(number)))
                return number;
        }
    }

    static float randomFloat() {
        while (true) {
            float number = switch (RANDOM.nextInt(3)) {
                case 0 -> Float.intBitsToFloat(RANDOM.nextInt());
                case 1 -> RANDOM.nextInt(100_000) / 100.0f;
                default -> (float) (RANDOM.nextGaussian() * Math.pow(10, RANDOM.nextInt(20) - 10));
            };
            if (Float.toString(number).equals(FloatToDecimal.toString(number)))
                return number;
        }
    }
}
