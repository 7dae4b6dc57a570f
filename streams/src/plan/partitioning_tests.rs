//! What is known of where rows are, and sides that are brought together.
use std::time::Duration;

use datafusion::logical_expr::Expr;

use super::build::{Builder, From, Output};
use super::partitioning::{CoPartitioned, Half};
use super::{Node, NodeId, Plan, PlanError, StepKind};
use crate::{DataType, Field, Format, Schema, cast, col, count_all, json_schema, lower, raw, text, tumbling};

fn source(plan: &mut Plan, topic: &str, format: Format) -> NodeId {
    plan.add(Node::Source {
        topic: topic.to_owned(),
        format,
    })
}

fn select(plan: &mut Plan, input: NodeId, exprs: &[Expr]) -> NodeId {
    let exprs = exprs.to_vec();
    plan.add(Node::Select { input, exprs })
}

fn windowed(plan: &mut Plan, input: NodeId, name: &str, key: &str) -> NodeId {
    plan.add(Node::Window {
        input,
        name: name.to_owned(),
        keys: vec![col(key)],
        windows: tumbling(Duration::from_secs(1)),
        emit: crate::prelude::OnUpdate,
        aggregates: vec![count_all().alias("n")],
    })
}

fn to_table(plan: &mut Plan, input: NodeId, name: &str, keys: &[&str]) -> NodeId {
    plan.add(Node::ToTable {
        input,
        name: name.to_owned(),
        keys: keys.iter().map(|key| col(*key)).collect(),
        deleted: None,
    })
}

/// JSON with a key of bytes, and columns `id`, a number of `bits`, and `name`.
fn numbered(data_type: DataType) -> Format {
    json_schema(Schema::new(vec![
        Field::new("id", data_type, true),
        Field::new("name", DataType::Utf8, true),
    ]))
    .with_key("key")
}

fn is_partitioned(plan: &Plan, node: NodeId) -> bool {
    plan.builder().unwrap().outputs[node.0].partitioned.is_some()
}

#[test]
fn what_passes_rows_on_leaves_them_where_they_are() {
    let mut plan = Plan::new("a".to_owned());
    let lines = source(&mut plan, "lines", text("line").with_key("user"));
    let user = cast(col("user"), DataType::Utf8);
    let input = plan.add(Node::Filter {
        input: lines,
        predicate: col("line").is_not_null(),
    });
    let input = plan.add(Node::WithColumn {
        input,
        name: "user".to_owned(),
        expr: user.clone(),
    });
    let kept = select(&mut plan, input, &[col("user").alias("who"), col("line")]);
    let branch = plan.add(Node::Branch {
        input: kept,
        predicates: vec![col("line").is_null()],
    });
    let way = plan.add(Node::Way {
        input: branch,
        port: 1,
    });
    let merged = plan.add(Node::Merge {
        inputs: vec![kept, way],
    });
    assert!(is_partitioned(&plan, merged));

    let gone = select(&mut plan, input, &[col("line")]);
    let other = select(&mut plan, input, &[lower(col("user")).alias("who"), col("line")]);
    let swapped = select(
        &mut plan,
        input,
        &[col("line").alias("who"), col("user").alias("line")],
    );
    let mixed = plan.add(Node::Merge {
        inputs: vec![kept, swapped],
    });
    for lost in [gone, other, mixed] {
        assert!(!is_partitioned(&plan, lost), "{lost:?}");
    }
    // A key of the format raw is one as well; a source without has none.
    let bytes = source(&mut plan, "bytes", raw());
    let keyless = source(&mut plan, "keyless", text("line"));
    assert!(is_partitioned(&plan, bytes) && !is_partitioned(&plan, keyless));
}

#[test]
fn what_comes_out_of_keyed_steps_is_partitioned_by_their_keys() {
    let mut plan = Plan::new("a".to_owned());
    let lines = source(&mut plan, "lines", text("line").with_key("user"));
    let moved = |plan: &mut Plan, name: &str, keys: Vec<Expr>| {
        let name = name.to_owned();
        plan.add(Node::Repartition {
            input: lines,
            name,
            keys,
        })
    };
    let by_column = moved(&mut plan, "column", vec![col("line")]);
    // Rows do not have what they were placed by.
    let by_other = moved(&mut plan, "other", vec![lower(col("line"))]);
    let table = to_table(&mut plan, lines, "table", &["user"]);
    let aggregate = plan.add(Node::Aggregate {
        input: lines,
        name: "counts".to_owned(),
        keys: vec![lower(col("line"))],
        aggregates: vec![count_all()],
    });
    let windows = windowed(&mut plan, lines, "windows", "line");
    assert!(
        [by_column, table, aggregate, windows]
            .iter()
            .all(|node| is_partitioned(&plan, *node))
    );
    assert!(!is_partitioned(&plan, by_other));
}

/// The plan with both sides brought together, each with the names of its keys.
fn together(
    plan: &Plan,
    left: (NodeId, &[Expr]),
    right: (NodeId, &[Expr]),
) -> Result<(Builder, CoPartitioned), PlanError> {
    let mut builder = plan.builder()?;
    let outputs = [left.0, right.0].map(|node| builder.outputs[node.0].clone());
    let sides = [(&outputs[0], left.1), (&outputs[1], right.1)].map(|(rows, keys)| Half { rows, keys });
    let both = builder.co_partition("paid", "join paid", sides)?;
    Ok((builder, both))
}

/// Which topics both sides come from, once they are together.
fn topics(builder: &Builder, both: &CoPartitioned) -> [String; 2] {
    let [left, right] = &both.sides;
    assert_eq!(left.sub, right.sub);
    let topic = |side: &Output| {
        let [From::Input(input) | From::Rows(input)] = side.from[..] else {
            return "a step".to_owned();
        };
        builder.subs[side.sub].0[input].topic.to_string()
    };
    [topic(left), topic(right)]
}

#[test]
fn only_what_is_elsewhere_is_moved() {
    let mut plan = Plan::new("a".to_owned());
    let left = source(&mut plan, "left", numbered(DataType::Int32));
    let right = source(&mut plan, "right", numbered(DataType::Int64));
    let check = |left_key: Expr, right_key: Expr, expected: [&str; 2]| {
        let (left, right) = ((left, &[left_key][..]), (right, &[right_key][..]));
        let (builder, both) = together(&plan, left, right).unwrap();
        assert_eq!(topics(&builder, &both), expected);
        let types = both
            .keys
            .each_ref()
            .map(|keys| keys[0].field().data_type().clone());
        assert_eq!(types[0], types[1]);
    };
    let (to_left, to_right) = ("a-paid-left-repartition", "a-paid-right-repartition");
    check(col("key"), col("key"), ["left", "right"]);
    check(cast(col("key"), DataType::Utf8), col("name"), ["left", to_right]);
    check(
        col("name"),
        cast(col("key"), DataType::Utf8View),
        [to_left, "right"],
    );
    check(col("id"), col("id"), [to_left, to_right]);
}

#[test]
fn numbers_of_any_width_are_placed_alike_and_keys_of_two_kinds_are_refused() {
    let mut plan = Plan::new("a".to_owned());
    let left = source(&mut plan, "left", numbered(DataType::Int32));
    let right = source(&mut plan, "right", numbered(DataType::UInt32));
    let placed = plan.add(Node::Repartition {
        input: left,
        name: "placed".to_owned(),
        keys: vec![col("id")],
    });
    let id = [col("id")];
    let (builder, both) = together(&plan, (placed, &id), (right, &id)).unwrap();
    assert_eq!(
        topics(&builder, &both),
        ["a-placed-repartition", "a-paid-right-repartition"]
    );
    assert_eq!(both.keys[1][0].field().data_type(), &DataType::Int64);

    let error = together(&plan, (left, &id), (right, &[col("name")]))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "join paid: id (Int32) and name (Utf8) are of no common type, so that they would never be equal; cast one of them"
    );
}

#[test]
fn a_sub_topology_does_not_come_to_feed_itself() {
    let mut plan = Plan::new("a".to_owned());
    let lines = source(&mut plan, "lines", text("line").with_key("user"));
    let (user, line) = ([cast(col("user"), DataType::Utf8)], [col("line")]);
    // The same stream by its key and by something else: with the one where it is, its task would read what it has written.
    let (builder, both) = together(&plan, (lines, &user), (lines, &line)).unwrap();
    assert_eq!(
        topics(&builder, &both),
        ["a-paid-left-repartition", "a-paid-right-repartition"]
    );
    // What was made of a stream, and the stream: both are where they should be, but one feeds the other.
    let text_user = select(&mut plan, lines, &[user[0].clone().alias("user"), col("line")]);
    let windows = windowed(&mut plan, text_user, "windows", "user");
    let by_user = [col("user")];
    let (builder, both) = together(&plan, (text_user, &by_user), (windows, &by_user)).unwrap();
    assert_eq!(topics(&builder, &both), ["a-paid-left-repartition", "a step"]);
    // In one sub-topology already.
    let (builder, both) = together(&plan, (lines, &user), (lines, &user)).unwrap();
    assert_eq!(topics(&builder, &both), ["lines", "lines"]);
}

#[test]
fn some_of_the_keys_are_enough_if_both_are_placed_by_them() {
    let mut plan = Plan::new("a".to_owned());
    let sides = ["one", "other"].map(|topic| {
        let lines = source(&mut plan, topic, text("line"));
        windowed(&mut plan, lines, topic, "line")
    });
    let keys = [col("window_start"), col("line")];
    let (builder, both) = together(&plan, (sides[0], &keys), (sides[1], &keys)).unwrap();
    assert_eq!(topics(&builder, &both), ["a step", "a step"]);
    // One that is elsewhere comes to where the other is.
    let plain = source(&mut plan, "plain", text("line").with_timestamp("window_start"));
    let (mut builder, both) = together(&plan, (sides[0], &keys[1..]), (plain, &keys[1..])).unwrap();
    assert_eq!(topics(&builder, &both), ["a step", "a-paid-right-repartition"]);
    let moved = builder.subs.iter_mut().flat_map(|(_, steps)| steps);
    let mut moved = moved.filter_map(|step| match &step.kind {
        StepKind::Repartition(to) => Some(to.keys.len()),
        _ => None,
    });
    assert_eq!(moved.next(), Some(1));
}

#[test]
fn tables_stay() {
    let mut plan = Plan::new("a".to_owned());
    let orders = source(&mut plan, "orders", numbered(DataType::Int64));
    let users = source(&mut plan, "users", numbered(DataType::Int64));
    let users = to_table(&mut plan, users, "users", &["id", "name"]);
    let pairs = [col("name"), col("id")];
    let (builder, both) = together(&plan, (orders, &pairs), (users, &pairs)).unwrap();
    assert_eq!(topics(&builder, &both), ["a-paid-left-repartition", "a step"]);
    // They have become one sub-topology, in which the table is another step.
    let table = both.sides[1].table.as_ref().unwrap();
    for from in [Some(table.changes), table.deletions] {
        let Some(From::Step(step, _)) = from else {
            panic!("a table's outputs are those of a step");
        };
        let kind = &builder.subs[both.sides[1].sub].1[step.0].kind;
        assert!(matches!(kind, StepKind::ToTable(_)), "{kind:?}");
    }
    let error = together(&plan, (orders, &pairs[..1]), (users, &pairs[..1]))
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "join paid: the rows of to_table users (table) are not in the partitions of (name), and those of a table stay where they are; make \
         it with these keys in this order"
    );
}

#[test]
fn the_names_of_both_sides_are_taken() {
    let mut plan = Plan::new("a".to_owned());
    let left = source(&mut plan, "left", text("line"));
    let right = source(&mut plan, "right", text("line"));
    plan.add(Node::Repartition {
        input: left,
        name: "paid-left".to_owned(),
        keys: vec![col("line")],
    });
    let line = [col("line")];
    let error = together(&plan, (left, &line), (right, &line)).err().unwrap();
    assert!(matches!(error, PlanError::DuplicateStep { name } if name == "paid-left"));
}
