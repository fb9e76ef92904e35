{{/*
What makes roles and schemas, topics and the bucket in engines that are bundled, as `radloop database apply` and `radloop topics
apply` do in others. It waits for them. Dict `root`, `components` (facts by name), `image` (whose Python does it).

Its name has the revision, for a Job cannot be changed: it runs with every upgrade, and finds all done.
*/}}
{{- define "radloop.bundled-setup" }}
{{- $values := .root.Values }}
{{- $name := dict "root" .root "name" "setup" }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "radloop.name" $name }}-{{ .root.Release.Revision }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "radloop.labels" $name | nindent 4 }}
spec:
  backoffLimit: 10
  template:
    metadata:
      labels: {{- include "radloop.labels" $name | nindent 8 }}
    spec:
      {{- include "radloop.pod" $name | nindent 6 }}
      restartPolicy: OnFailure
      containers:
        - name: setup
          image: {{ include "radloop.image" (dict "root" .root "name" .image) }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          command:
            - python
            - -c
            - |
              import os, sys, time
              from pathlib import Path

              import boto3
              from botocore.exceptions import BotoCoreError, ClientError
              from radloop.errors import TemporaryError
              from radloop.events.kafka.address import KafkaAddress
              from radloop.events.kafka.topics import KafkaTopics
              from radloop.events.topics import planned_topics
              from radloop.sql.ownership import apply_ownership, role_of
              from radloop.sql.postgresql import parse_url

              given, components = Path(sys.argv[1]), sys.argv[2:]

              def read(*path):
                  return given.joinpath(*path).read_text().strip()

              def database():
                  urls = {name: parse_url(read("database", name)) for name in components}
                  for name, url in urls.items():
                      if url.username != role_of(name):
                          sys.exit(f"database: the address of {name} must have the role {role_of(name)}")
                  admin = urls[components[0]].set(username="postgres", password=read("passwords", "postgresql"))
                  passwords = {name: url.password for name, url in urls.items()}
                  return apply_ownership(admin.render_as_string(hide_password=False), passwords)

              def events():
                  topics = KafkaTopics(KafkaAddress.parse(read("events", components[0])), planned_topics())
                  missing = topics.differences()
                  topics.apply(missing)
                  return [f"{each.action} topic {each.topic}: {each.setting}" for each in missing]

              def objects():
                  bucket, _, endpoint = os.environ["RADLOOP_OBJECTS_URL"].removeprefix("s3://").partition("?endpoint=")
                  store = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
                  if bucket in [each["Name"] for each in store.list_buckets()["Buckets"]]:
                      return []
                  store.create_bucket(Bucket=bucket)
                  return [f"create bucket {bucket}"]

              bundled = {
                  database: (given / "database").exists(),
                  events: (given / "events").exists(),
                  objects: "RADLOOP_OBJECTS_URL" in os.environ,
              }
              for step in (step for step, there in bundled.items() if there):
                  while True:
                      try:
                          print(step.__name__, *step() or ["nothing to do"], sep="\n  ", flush=True)
                          break
                      except (TemporaryError, BotoCoreError, ClientError) as error:
                          print(f"{step.__name__}, again in 3 s: {error}", flush=True)
                          time.sleep(3)
            - /etc/radloop/setup
            {{- range $component, $facts := .components }}
            {{- if (get $values.components $component).enabled }}
            - {{ $component }}
            {{- end }}
            {{- end }}
          env:
            - name: HOME
              value: /tmp
            {{- if include "radloop.bundled-engine" (dict "root" .root "key" "objects") }}
            - name: RADLOOP_OBJECTS_URL
              value: {{ include "radloop.objects-url" .root | quote }}
            {{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
            {{- include "radloop.secret-env" (dict "env" $key "secret" $values.objects.existingSecret "key" $key) | nindent 12 }}
            {{- end }}
            {{- end }}
          resources: {{- toYaml $values.migrate.resources | nindent 12 }}
          {{- include "radloop.container-security" $name | nindent 10 }}
          volumeMounts:
            - {name: tmp, mountPath: /tmp}
            {{- range $folder, $secret := include "radloop.bundled-secrets" .root | fromYaml }}
            - {name: {{ $folder }}, mountPath: /etc/radloop/setup/{{ $folder }}, readOnly: true}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
        {{- range $folder, $secret := include "radloop.bundled-secrets" .root | fromYaml }}
        - name: {{ $folder }}
          secret:
            secretName: {{ $secret }}
        {{- end }}
{{- if $values.networkPolicy.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "radloop.metadata" $name | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "radloop.selector" $name | nindent 6 }}
  policyTypes: [Ingress, Egress]
  egress:
    {{- $reaches := list }}
    {{- range $key := list "events" "database" "objects" }}
    {{- if include "radloop.bundled-engine" (dict "root" $.root "key" $key) }}
    {{- $reaches = append $reaches $key }}
    {{- end }}
    {{- end }}
    {{- include "radloop.egress" (dict "root" .root "reaches" $reaches) | nindent 4 }}
{{- end }}
{{- end -}}

{{/* Folders of the setup, and the Secrets whose keys are their files. */}}
{{- define "radloop.bundled-secrets" -}}
{{- $bundled := .Values.bundled }}
{{- if $bundled.kafka.enabled }}
events: {{ .Values.events.existingSecret }}
{{- end }}
{{- if $bundled.postgresql.enabled }}
database: {{ .Values.database.existingSecret }}
passwords: {{ $bundled.existingSecret }}
{{- end }}
{{- end -}}
