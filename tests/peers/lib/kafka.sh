#!/usr/bin/env bash
# Sourced by the peers that are Apache Kafka's own software.
#   kafka_needs                    a JDK, and Kafka's jars in $KAFKA_LIBS; nothing to do the second time
#   kafka_compile DIR FILE.java …  classes of a peer's driver in DIR, compiled again when a source has changed
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$LIB/../../../scripts/needs.sh"

KAFKA_HOME=${CACHE:?the runner sets it}/kafka-4.2.0
KAFKA_LIBS=$KAFKA_HOME/libs
LOG4J=$LIB/kafka/log4j2.xml
export KAFKA_LIBS LOG4J

kafka_needs() {
  local wanted
  need_commands javac=openjdk-17-jdk-headless python3=python3
  wanted=$(sha256sum <"$LIB/kafka/pom.xml")
  [ "$(cat "$KAFKA_HOME/complete" 2>/dev/null)" != "$wanted" ] || return 0
  need_commands mvn=maven
  mkdir -p "$KAFKA_HOME"
  mvn -q -B -f "$LIB/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$KAFKA_LIBS" >&2
  echo "$wanted" >"$KAFKA_HOME/complete"
}

kafka_compile() {
  local out=$1 mark
  shift
  mark=$(cat "$@" | sha256sum | cut -d' ' -f1)
  [ "$(cat "$out/mark" 2>/dev/null)" != "$mark" ] || return 0
  rm -rf "$out"
  mkdir -p "$out"
  javac -nowarn -Xlint:-options -d "$out" -cp "$KAFKA_LIBS/*" "$@"
  echo "$mark" >"$out/mark"
}
