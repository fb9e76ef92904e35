#!/bin/sh
# As in Kafka's own image: the program's name and its one argument, the properties.
exec /opt/java/bin/java ${KAFKA_HEAP_OPTS:-} -cp '/opt/kafka/libs/*' org.apache.kafka.connect.mirror.MirrorMaker "$@"
