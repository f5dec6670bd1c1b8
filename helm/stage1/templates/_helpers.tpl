{{/* The model's name: part of the ledger's, the runs' and every object's. */}}
{{- define "stage1.name" -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- end }}

{{- define "stage1.selector" -}}
app.kubernetes.io/name: stage1
app.kubernetes.io/instance: {{ include "stage1.name" . }}
{{- end }}

{{- define "stage1.labels" -}}
{{ include "stage1.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The training values and nothing else: neither chart nor image nor pools, so that an upgrade burns no GPU. */}}
{{- define "stage1.hash" -}}
{{- mustToJson .Values.training | sha256sum | trunc 16 -}}
{{- end }}

{{- define "stage1.channel" -}}
{{- .Values.training.channel | default (include "stage1.name" .) -}}
{{- end }}

{{- define "stage1.ledger" -}}
{{- printf "stage1-retrain-%s-%s" (include "stage1.name" .) (include "stage1.hash" .) -}}
{{- end }}

{{- define "stage1.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* What python -m pipelines retrain reads. */}}
{{- define "stage1.request" -}}
{{- $training := .Values.training -}}
{{- $gpu := .Values.pools.gpu -}}
{{- $cpu := .Values.pools.cpu -}}
{{- $arguments := dict
  "data" $training.data "preset" $training.preset "config" $training.config
  "overrides" (join "\n" $training.overrides) "seed" ($training.seed | int) "store" $training.store
  "channel" (include "stage1.channel" .)
  "checkpoints" (.Values.retrain.checkpoints | default (printf "%s/states" (trimSuffix "/" $training.store)))
  "gpu_resource" $gpu.resource "gpu_count" ($gpu.count | int | toString) "gpu_cpu" $gpu.cpu "gpu_memory" $gpu.memory
  "gpu_node_selector" $gpu.nodeSelector "gpu_tolerations" $gpu.tolerations "gpu_affinity" $gpu.affinity
  "cpu_cpu" $cpu.cpu "cpu_memory" $cpu.memory "cpu_node_selector" $cpu.nodeSelector "cpu_tolerations" $cpu.tolerations
  "storage_secret" .Values.secrets.storage "tracking_secret" .Values.secrets.tracking
  "signing_secret" .Values.secrets.signing -}}
{{- dict
  "name" (include "stage1.name" .)
  "hash" (include "stage1.hash" .)
  "arguments" $arguments
  "experiment" (.Values.kubeflow.experiment | default (include "stage1.name" .))
  "account" .Values.kubeflow.serviceAccount
  "max_attempts" (.Values.retrain.maxAttempts | int)
  "superseded" .Values.retrain.superseded | mustToPrettyJson -}}
{{- end }}

{{/* The pod of every command; call with (dict "root" $ "account" name "arguments" list). */}}
{{- define "stage1.pod" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: true
enableServiceLinks: false
restartPolicy: Never
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: submit
    image: {{ include "stage1.image" .root }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args:
      {{- toYaml .arguments | nindent 6 }}
    env:
      - name: KFP_ENDPOINT
        value: {{ $values.kubeflow.endpoint | quote }}
      - name: KFP_NAMESPACE
        value: {{ $values.kubeflow.namespace | quote }}
      {{- if $values.kubeflow.token }}
      - name: KFP_TOKEN_FILE
        value: /var/run/secrets/kubeflow/token
      {{- end }}
      - name: STAGE1_NAMESPACE
        valueFrom:
          fieldRef:
            fieldPath: metadata.namespace
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    resources:
      {{- toYaml $values.resources | nindent 6 }}
    volumeMounts:
      - name: request
        mountPath: /etc/stage1
        readOnly: true
      - name: tmp
        mountPath: /tmp
      {{- if $values.kubeflow.token }}
      - name: kubeflow-token
        mountPath: /var/run/secrets/kubeflow
        readOnly: true
      {{- end }}
volumes:
  - name: request
    configMap:
      name: {{ include "stage1.name" .root }}-request
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- if $values.kubeflow.token }}
  - name: kubeflow-token
    projected:
      sources:
        - serviceAccountToken:
            audience: pipelines.kubeflow.org
            expirationSeconds: 3600
            path: token
  {{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
