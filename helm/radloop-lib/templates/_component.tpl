{{/*
One service of radloop: all its objects. Takes a dict: `root`, `name`, `facts`, `own`.

The facts, which the chart knows and nobody sets: `reaches` (keys of networkPolicy.to), `env`, `secretEnv`, `ports` beside
HTTP, `objects` (whether it uses the object store), `token` (whether it speaks to the Kubernetes API), `sticky` (whether a
browser must stay with one replica), `recreate` (whether two pods may never be there at once), `mounts`, `volumes`,
`initContainers`.
*/}}
{{- define "radloop.component" -}}
{{- if .own.enabled }}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{- include "radloop.metadata" . | nindent 2 }}
  {{- with .own.serviceAccountAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  selector: {{- include "radloop.selector" . | nindent 4 }}
  {{- if .facts.sticky }}
  # What a browser's tabs share while they renew a session lies in one replica.
  sessionAffinity: ClientIP
  {{- end }}
  ports:
    - name: http
      port: 8080
      targetPort: http
---
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  replicas: {{ .own.replicas }}
  revisionHistoryLimit: 3
  selector:
    matchLabels: {{- include "radloop.selector" . | nindent 6 }}
  strategy:
    {{- if .facts.recreate }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
    {{- end }}
  template:
    metadata:
      labels: {{- include "radloop.labels" . | nindent 8 }}
      {{- with .own.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "radloop.pod" . | nindent 6 }}
      {{- include "radloop.placement" . | nindent 6 }}
      # preStop 5 s, HTTP 5 s, threads 10 s, and time for what was said last to reach the event log.
      terminationGracePeriodSeconds: 45
      {{- with .facts.initContainers }}
      initContainers: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .name }}
          image: {{ include "radloop.image" . }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          env: {{- include "radloop.env" . | nindent 12 }}
          ports:
            - name: http
              containerPort: 8080
            {{- range .facts.ports }}
            - name: {{ .name }}
              containerPort: {{ .port }}
            {{- end }}
          # A service waits for its database before it answers at all, ten minutes until it is begun again.
          startupProbe:
            httpGet:
              path: /livez
              port: http
            periodSeconds: 2
            failureThreshold: 300
          livenessProbe:
            httpGet:
              path: /livez
              port: http
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /readyz
              port: http
            periodSeconds: 5
            timeoutSeconds: 5
          lifecycle:
            preStop:
              # Until every node has heard that this pod takes no more.
              exec:
                command: [sleep, "5"]
          resources: {{- toYaml .own.resources | nindent 12 }}
          {{- include "radloop.container-security" . | nindent 10 }}
          volumeMounts:
            {{- include "radloop.mounts" . | nindent 12 }}
            {{- with .facts.mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "radloop.volumes" . | nindent 8 }}
        {{- with .facts.volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- if gt (int .own.replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "radloop.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "radloop.selector" . | nindent 6 }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
{{ include "radloop.network-policy" . }}
{{- end }}
{{- end }}
{{- end -}}
