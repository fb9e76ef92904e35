{{/*
Kafka, PostgreSQL and an object store of one pod each, to try the platform without any: `bundled` in the values. No copy, no
backup, no TLS. What makes roles, topics and the bucket in them is a Job that waits for them, "setup".
*/}}

{{/* What stands for a key of networkPolicy.to: name and port of the engine that is bundled, else nothing. Dict `root`, `key`. */}}
{{- define "radloop.bundled-engine" -}}
{{- $engines := dict "events" (list "kafka" 9092) "database" (list "postgresql" 5432) "objects" (list "objects" 7070) -}}
{{- with get $engines .key }}
{{- if (get $.root.Values.bundled (first .) | default dict).enabled }}
name: {{ first . }}
port: {{ last . }}
host: {{ include "radloop.name" (dict "root" $.root "name" (first .)) }}.{{ $.root.Release.Namespace }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where the object store is. */}}
{{- define "radloop.objects-url" -}}
{{- $bundled := include "radloop.bundled-engine" (dict "root" . "key" "objects") | fromYaml -}}
{{- if $bundled -}}
s3://radloop?endpoint=http://{{ $bundled.host }}:{{ $bundled.port }}
{{- else -}}
{{- required "objects.url is empty: e.g. s3://bucket/prefix?endpoint=https://s3.example.org" .Values.objects.url -}}
{{- end -}}
{{- end -}}

{{/* Two engines of one kind would leave open which is meant, and no password has a default. */}}
{{- define "radloop.bundled-checks" -}}
{{- $bundled := .Values.bundled }}
{{- if $bundled.kafka.enabled }}
{{- if .Values.events.url }}
{{- fail "bundled.kafka.enabled is true and events.url names another Kafka: leave one of them out" }}
{{- end }}
{{- if .Values.events.caSecret }}
{{- fail "bundled.kafka.enabled is true and events.caSecret is set: the bundled Kafka has no TLS; leave one of them out" }}
{{- end }}
{{- $_ := required "events.existingSecret is empty: the bundled Kafka has a password; name the Secret with kafka://radloop:PASSWORD@<release>-kafka:9092 for each component" .Values.events.existingSecret }}
{{- end }}
{{- if and $bundled.postgresql.enabled .Values.database.caSecret }}
{{- fail "bundled.postgresql.enabled is true and database.caSecret is set: the bundled PostgreSQL has no TLS; leave one of them out" }}
{{- end }}
{{- if or $bundled.kafka.enabled $bundled.postgresql.enabled }}
{{- $_ := required "bundled.existingSecret is empty: name the Secret with the passwords `kafka` and `postgresql`; there is no default" $bundled.existingSecret }}
{{- end }}
{{- if ($bundled.objects | default dict).enabled }}
{{- if .Values.objects.url }}
{{- fail "bundled.objects.enabled is true and objects.url names another object store: leave one of them out" }}
{{- end }}
{{- if .Values.objects.caSecret }}
{{- fail "bundled.objects.enabled is true and objects.caSecret is set: the bundled object store has no TLS; leave one of them out" }}
{{- end }}
{{- $_ := required "objects.existingSecret is empty: the bundled object store takes its keys from there; there is no default" .Values.objects.existingSecret }}
{{- end }}
{{- end -}}

{{/* Dict `root`, `components` (facts by name), `image` (whose Python makes roles, topics and the bucket). */}}
{{- define "radloop.bundled" -}}
{{- $bundled := .root.Values.bundled }}
{{- $any := false }}
{{- range $key := list "events" "database" "objects" }}
{{- with include "radloop.bundled-engine" (dict "root" $.root "key" $key) | fromYaml }}
{{- $any = true }}
{{- $scope := dict "root" $.root "name" .name "own" (get $bundled .name) "port" .port "host" .host }}
{{- include "radloop.bundled-one" $scope }}
{{- end }}
{{- end }}
{{- if $any }}
{{- include "radloop.bundled-setup" . }}
{{- end }}
{{- end -}}

{{/* All objects of one engine. Dict `root`, `name`, `own` (its values), `port`, `host`. */}}
{{- define "radloop.bundled-one" }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "radloop.metadata" . | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  selector: {{- include "radloop.selector" . | nindent 4 }}
  ports:
    - name: {{ .name }}
      port: {{ .port }}
      targetPort: {{ .name }}
{{- if .own.storage.size }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .own.storage.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .own.storage.size }}
{{- end }}
{{- if eq .name "kafka" }}
---
apiVersion: v1
kind: ConfigMap
metadata: {{- include "radloop.metadata" . | nindent 2 }}
data:
  server.properties: |
    {{- include "radloop.bundled-kafka-properties" . | nindent 4 }}
{{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  serviceName: {{ include "radloop.name" . }}
  replicas: 1
  selector:
    matchLabels: {{- include "radloop.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "radloop.labels" . | nindent 8 }}
    spec:
      {{- include "radloop.pod" . | nindent 6 }}
      terminationGracePeriodSeconds: 60
      containers:
        - name: {{ .name }}
          image: {{ include "radloop.foreign-image" . }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- include (printf "radloop.bundled-%s" .name) . | nindent 10 }}
          ports:
            - name: {{ .name }}
              containerPort: {{ .port }}
          resources: {{- toYaml .own.resources | nindent 12 }}
          {{- include "radloop.container-security" . | nindent 10 }}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
            {{- if eq .name "kafka" }}
            - {name: properties, mountPath: /etc/radloop/kafka, readOnly: true}
            {{- else if eq .name "postgresql" }}
            - {name: run, mountPath: /var/run/postgresql}
            {{- end }}
      volumes:
        - name: data
          {{- if .own.storage.size }}
          persistentVolumeClaim:
            claimName: {{ include "radloop.name" . }}
          {{- else }}
          emptyDir: {}
          {{- end }}
        - name: tmp
          emptyDir:
            sizeLimit: 256Mi
        {{- if eq .name "kafka" }}
        - name: properties
          configMap:
            name: {{ include "radloop.name" . }}
        {{- else if eq .name "postgresql" }}
        - name: run
          emptyDir:
            sizeLimit: 16Mi
        {{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "radloop.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/part-of: radloop
              app.kubernetes.io/instance: {{ .root.Release.Name }}
        {{- if eq .name "kafka" }}
        # A site's mirror, which may have a namespace of its own.
        - namespaceSelector: {}
          podSelector:
            matchLabels:
              app.kubernetes.io/name: mirror
              app.kubernetes.io/part-of: radloop
        {{- else if eq .name "objects" }}
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {{ .root.Values.jobs.namespace | default .root.Release.Namespace }}
          podSelector:
            matchLabels:
              app.kubernetes.io/name: training-job
              app.kubernetes.io/part-of: radloop
        {{- end }}
      ports:
        - port: {{ .name }}
{{- end }}
{{- end -}}

{{/* One broker that is its own controller. Whoever comes from another pod signs in; what it says to itself stays in the pod. */}}
{{- define "radloop.bundled-kafka-properties" -}}
process.roles=broker,controller
node.id=1
listeners=CLIENTS://:{{ .port }},ITSELF://localhost:9094,CONTROLLER://localhost:9093
advertised.listeners=CLIENTS://{{ .host }}:{{ .port }},ITSELF://localhost:9094
listener.security.protocol.map=CLIENTS:SASL_PLAINTEXT,ITSELF:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=ITSELF
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=localhost:9093
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=/data/kafka
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.num.partitions=3
share.coordinator.state.topic.min.isr=1
{{- end -}}

{{- define "radloop.bundled-kafka" -}}
# The password is written into an empty volume and stays there; what is printed of it is not for the log.
command:
  - sh
  - -c
  - |
    /opt/kafka/bin/kafka-storage.sh format --ignore-formatted --standalone --cluster-id cmFkbG9vcC1jbHVzdGVyIQ \
        --config /etc/radloop/kafka/server.properties --add-scram "SCRAM-SHA-512=[name=radloop,password=$KAFKA_PASSWORD]" >/dev/null &&
    exec /opt/kafka/bin/kafka-server-start.sh /etc/radloop/kafka/server.properties
env:
  - name: KAFKA_HEAP_OPTS
    value: -Xmx384m
  # What it logs goes to standard error, and nothing into files.
  - name: KAFKA_LOG4J_OPTS
    value: -Dlog4j2.configurationFile=/opt/kafka/config/tools-log4j2.yaml
  - name: EXTRA_ARGS
    value: -name kafkaServer
  - name: LOG_DIR
    value: /tmp
  {{- include "radloop.secret-env" (dict "env" "KAFKA_PASSWORD" "secret" .root.Values.bundled.existingSecret "key" "kafka") | nindent 2 }}
{{ include "radloop.bundled-probes" (dict "probe" (dict "tcpSocket" (dict "port" "kafka"))) }}
{{- end -}}

{{- define "radloop.bundled-postgresql" -}}
# What is in the tables is not for the log.
args: [postgres, -c, max_connections=120, -c, log_error_verbosity=terse, -c, log_min_error_statement=panic, -c, log_parameter_max_length_on_error=0]
env:
  - name: PGDATA
    value: /data/postgresql
  - name: POSTGRES_INITDB_ARGS
    value: --encoding=UTF8 --locale=C.UTF-8
  {{- include "radloop.secret-env" (dict "env" "POSTGRES_PASSWORD" "secret" .root.Values.bundled.existingSecret "key" "postgresql") | nindent 2 }}
{{ include "radloop.bundled-probes" (dict "probe" (dict "exec" (dict "command" (list "pg_isready" "--host=127.0.0.1" "--username=postgres")))) }}
{{- end -}}

{{- define "radloop.bundled-objects" -}}
command: [sh, -c, 'mkdir -p /data/objects && exec versitygw --quiet --port :7070 --health /health posix /data/objects']
env:
  {{- range $env, $key := dict "ROOT_ACCESS_KEY" "AWS_ACCESS_KEY_ID" "ROOT_SECRET_KEY" "AWS_SECRET_ACCESS_KEY" }}
  {{- include "radloop.secret-env" (dict "env" $env "secret" $.root.Values.objects.existingSecret "key" $key) | nindent 2 }}
  {{- end }}
{{ include "radloop.bundled-probes" (dict "probe" (dict "httpGet" (dict "path" "/health" "port" "objects"))) }}
{{- end -}}

{{- define "radloop.bundled-probes" -}}
startupProbe:
  {{- toYaml .probe | nindent 2 }}
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  {{- toYaml .probe | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  {{- toYaml .probe | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* For NOTES.txt. */}}
{{- define "radloop.bundled-notes" -}}
{{- $names := list }}
{{- range $name := list "kafka" "postgresql" "objects" }}
{{- if (get $.Values.bundled $name | default dict).enabled }}
{{- $names = append $names (printf "bundled.%s" $name) }}
{{- end }}
{{- end }}
{{- if $names }}

WARNING: {{ join ", " $names }}: for trying out. One pod each, no copy, no backup, no TLS; the volumes go with the release.
It takes a minute until roles, topics and the bucket are made, and all services wait for it:
  kubectl -n {{ .Release.Namespace }} logs job/{{ .Release.Name }}-setup-{{ .Release.Revision }}
{{- end }}
{{- end -}}
