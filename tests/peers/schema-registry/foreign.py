"""Schemas and data of those who do not use this project: what Confluent's serializers write and read."""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

ORDER_AVRO = """{"type": "record", "name": "Order", "namespace": "shop", "fields": [
  {"name": "id", "type": "long"},
  {"name": "note", "type": ["null", "string"], "default": null},
  {"name": "tags", "type": {"type": "array", "items": "string"}},
  {"name": "price", "type": {"type": "record", "name": "Money", "fields": [
    {"name": "units", "type": "long"}, {"name": "currency", "type": {"type": "enum", "name": "Currency", "symbols": ["EUR", "CHF"]}}]}},
  {"name": "rates", "type": {"type": "map", "values": "double"}},
  {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"""
MONEY_AVRO = """{"type": "record", "name": "Money", "namespace": "bank", "fields": [{"name": "units", "type": "long"}]}"""
BILL_AVRO = """{"type": "record", "name": "Bill", "namespace": "shop", "fields": [{"name": "total", "type": "bank.Money"}]}"""

FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {"int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64, "string": FIELD.TYPE_STRING, "bool": FIELD.TYPE_BOOL, "double": FIELD.TYPE_DOUBLE}


def message(name, *fields):
    """A message's descriptor; a field is (name, number, type[, "repeated" or "optional"]), where a type with a dot is a message's."""
    made = descriptor_pb2.DescriptorProto(name=name)
    for field, number, kind, *label in fields:
        its = made.field.add(name=field, number=number, label=FIELD.LABEL_REPEATED if "repeated" in label else FIELD.LABEL_OPTIONAL)
        if kind in TYPES:
            its.type = TYPES[kind]
        else:
            its.type, its.type_name = FIELD.TYPE_MESSAGE, kind
        if "optional" in label:
            its.proto3_optional, its.oneof_index = True, len(made.oneof_decl)
            made.oneof_decl.add(name=f"_{field}")
    return made


def file(name, package, messages, imports=()):
    return descriptor_pb2.FileDescriptorProto(name=name, package=package, syntax="proto3", message_type=messages, dependency=imports)


def classes(*files):
    """The classes of all messages of `files`, by their full names."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for its in files:
        pool.Add(its)
    names = [f"{its.package}.{one.name}" if its.package else one.name for its in files for one in its.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


def orders():
    """The classes of an order, whose file imports another and one of Google's; it is the second message of its file."""
    money = file("money.proto", "bank", [message("Money", ("units", 1, "int64"), ("currency", 2, "string"))])
    order = file(
        "order.proto", "shop",
        [message("Unused", ("nothing", 1, "bool")),
         message("Order", ("id", 1, "int64"), ("note", 2, "string", "optional"), ("tags", 3, "string", "repeated"), ("price", 4, ".bank.Money"),
                 ("at", 5, ".google.protobuf.Timestamp"))],
        ["money.proto", "google/protobuf/timestamp.proto"])
    return classes(money, order)

