#!/bin/sh
# As in Kafka's own image: bin/NAME.sh and its arguments, with the environment that names the heap and the log's properties.
case ${0##*/} in
    connect-mirror-maker.sh) class=org.apache.kafka.connect.mirror.MirrorMaker ;;
    kafka-storage.sh) class=kafka.tools.StorageTool ;;
    kafka-server-start.sh) class=kafka.Kafka ;;
esac
# shellcheck disable=SC2086
exec /opt/java/bin/java ${KAFKA_HEAP_OPTS:-} ${KAFKA_LOG4J_OPTS:-} -cp '/opt/kafka/libs/*' "$class" "$@"
