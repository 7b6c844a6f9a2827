{{/* Image reference of .image, with the registry override and, unless a digest is given, the chart's version as tag. */}}
{{- define "langop.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^[^/]*[.:][^/]*/" $repository "") -}}
{{- end -}}
{{- if .image.digest -}}{{ $repository }}@{{ .image.digest }}{{- else -}}{{ $repository }}:{{ .image.tag | default .root.Chart.AppVersion }}{{- end -}}
{{- end }}

{{/* Labels of every object; "component" in the argument names the program. */}}
{{- define "langop.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "langop.selector" . }}
{{- end }}

{{/* Labels that never change. */}}
{{- define "langop.selector" -}}
app.kubernetes.io/name: {{ printf "langop-%s" .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* What restricted Pod Security asks of a pod, and of a container. */}}
{{- define "langop.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "langop.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "langop.tls" -}}{{ if ne .Values.tls.mode "off" }}true{{ end }}{{- end }}
{{- define "langop.serverSecret" -}}{{ ternary "langop-synthesizer-tls" .Values.tls.serverSecret (has .Values.tls.mode (list "generated" "cert-manager")) }}{{- end }}
{{- define "langop.clientSecret" -}}{{ ternary "langop-operator-tls" .Values.tls.clientSecret (has .Values.tls.mode (list "generated" "cert-manager")) }}{{- end }}

{{/* Volumes beyond a program's own, and where they are mounted. */}}
{{- define "langop.extraVolumes" -}}
{{- with .root.Values.extraCA }}
{{- if .configMap }}
- name: extra-ca
  configMap: {name: {{ .configMap }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- with .program.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- define "langop.extraVolumeMounts" -}}
{{- if .root.Values.extraCA.configMap }}
- {name: extra-ca, mountPath: /etc/langop/extra-ca, readOnly: true}
{{- end }}
{{- with .program.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where pods go: the programs, and what works for them. */}}
{{- define "langop.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .program.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .program.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .program.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .program.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .program.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Replicas of a program on several nodes, where there are several. */}}
{{- define "langop.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "langop.selector" . | nindent 8 }}
{{- end }}

{{/* Probes on the admin port, which speaks plain HTTP. */}}
{{- define "langop.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
{{- end }}

{{/* Who may scrape; by default any pod of the cluster. */}}
{{- define "langop.metricsFrom" -}}
{{- if .Values.networkPolicy.metricsFrom -}}{{ toYaml .Values.networkPolicy.metricsFrom }}{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end }}

{{/* What issues the certificates, as a Job's spec. */}}
{{- define "langop.certificatesJob" -}}
backoffLimit: 10
template:
  metadata:
    labels: {{- include "langop.labels" . | nindent 6 }}
  spec:
    serviceAccountName: langop-certificates
    restartPolicy: OnFailure
    securityContext: {{- include "langop.podSecurity" .root | nindent 6 }}
    {{- include "langop.placement" . | nindent 4 }}
    containers:
      - name: certificates
        image: {{ include "langop.image" . }}
        imagePullPolicy: {{ .root.Values.imagePullPolicy }}
        args:
          - --namespace={{ .root.Release.Namespace }}
          - --server-secret={{ include "langop.serverSecret" .root }}
          - --server-name=langop-synthesizer.{{ .root.Release.Namespace }}.svc
          - --client-secret={{ include "langop.clientSecret" .root }}
          - --client-name=langop-operator.{{ .root.Release.Namespace }}
          - --days={{ .root.Values.tls.generated.days }}
        resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 64Mi}}
        securityContext: {{- include "langop.containerSecurity" .root | nindent 10 }}
{{- end }}
