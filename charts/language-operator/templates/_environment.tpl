{{/* A container's environment, with one entry for each name: the last one given. The API server refuses a second. */}}
{{- define "langop.env" -}}
{{- $last := dict -}}
{{- $names := list -}}
{{- range fromYamlArray . -}}
{{- if not (hasKey $last .name) -}}{{- $names = append $names .name -}}{{- end -}}
{{- $_ := set $last .name . -}}
{{- end -}}
{{- range $names }}
- {{ get $last . | toJson }}
{{- end }}
{{- end }}

{{- define "langop.operatorEnv" -}}
{{- $args := . -}}
{{- with .root -}}
- {name: LANGOP_ADMIN_LISTEN, value: "{{ include "langop.anyAddress" . }}:8080"}
- {name: LANGOP_POD_IP_FAMILY, value: {{ .Values.ipFamily }}}
- {name: LANGOP_NAMESPACE, value: {{ .Release.Namespace | quote }}}
- {name: LANGOP_IDENTITY, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: LANGOP_SYNTHESIZER_ENDPOINT, value: {{ ternary "https" "http" (eq (include "langop.tls" .) "true") }}://langop-synthesizer.{{ .Release.Namespace }}.svc:50051}
{{- if include "langop.tls" . }}
- {name: LANGOP_SYNTHESIZER_CA, value: /etc/langop/tls/ca.crt}
- {name: LANGOP_SYNTHESIZER_CERT, value: /etc/langop/tls/tls.crt}
- {name: LANGOP_SYNTHESIZER_KEY, value: /etc/langop/tls/tls.key}
{{- end }}
{{- if trim .Values.provenance.publicKeys }}
- {name: LANGOP_PROVENANCE_KEYS, value: /etc/langop/provenance/keys.pem}
{{- end }}
{{- with .Values.namespaces }}
- {name: LANGOP_NAMESPACES, value: {{ join "," . | quote }}}
{{- end }}
- {name: LANGOP_AGENT_IMAGE, value: "{{ include "langop.image" (dict "root" . "image" .Values.agentImage) }}"}
- {name: LANGOP_TOOL_ADAPTER_IMAGE, value: "{{ include "langop.image" (dict "root" . "image" .Values.toolAdapterImage) }}"}
- {name: LANGOP_MODEL_PROXY_IMAGE, value: "{{ include "langop.image" (dict "root" . "image" .Values.modelProxyImage) }}"}
{{- if eq .Values.dns.preset "node-local" }}
- {name: LANGOP_DNS_CIDRS, value: {{ include "langop.dnsCidrs" . }}}
{{- else if eq .Values.dns.preset "openshift" }}
- {name: LANGOP_DNS_NAMESPACE_LABELS, value: "kubernetes.io/metadata.name=openshift-dns"}
- {name: LANGOP_DNS_POD_LABELS, value: "dns.operator.openshift.io/daemonset-dns=default"}
- {name: LANGOP_DNS_PORTS, value: "5353/UDP,5353/TCP"}
{{- end }}
{{- include "langop.observability" $args | nindent 0 }}
{{- include "langop.extraEnv" $args | nindent 0 }}
{{- end }}
{{- end }}

{{- define "langop.synthesizerEnv" -}}
{{- $args := . -}}
{{- $s := .program -}}
{{- with .root -}}
- {name: LANGOP_LISTEN, value: "{{ include "langop.anyAddress" . }}:50051"}
- {name: LANGOP_ADMIN_LISTEN, value: "{{ include "langop.anyAddress" . }}:8081"}
- {name: SYNTHESIS_PROVIDER, value: {{ $s.provider }}}
- {name: SYNTHESIS_MODEL, value: {{ $s.model | default (ternary "template" "" (eq $s.provider "template")) | quote }}}
{{- with $s.endpoint }}
- {name: SYNTHESIS_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- if $s.apiKey.existingSecret }}
- {name: SYNTHESIS_API_KEY_FILE, value: /etc/langop/provider/api-key}
{{- end }}
{{- if .Values.provenance.signingKey.existingSecret }}
- {name: LANGOP_SIGNING_KEY_FILE, value: /etc/langop/signing/key.pem}
{{- end }}
{{- if include "langop.tls" . }}
- {name: LANGOP_TLS_CERT, value: /etc/langop/tls/tls.crt}
- {name: LANGOP_TLS_KEY, value: /etc/langop/tls/tls.key}
- {name: LANGOP_TLS_CLIENT_CA, value: /etc/langop/tls/ca.crt}
{{- if ne .Values.tls.mode "existingSecret" }}
# The operator speaks for its namespaces: each has its own share, cache and budget.
- {name: LANGOP_TRUSTED_CALLERS, value: "certificate:dns:langop-operator.{{ .Release.Namespace }}"}
{{- end }}
{{- else }}
# The NetworkPolicy says who may call; preflight refuses to go without it.
- {name: LANGOP_ALLOW_PLAINTEXT, value: "true"}
- {name: LANGOP_ALLOW_ANONYMOUS, value: "true"}
{{- end }}
{{- include "langop.observability" $args | nindent 0 }}
{{- include "langop.extraEnv" $args | nindent 0 }}
{{- end }}
{{- end }}

{{/* Environment from a map of settings, in a stable order. */}}
{{- define "langop.settings" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{/* What both programs are told about logs and traces. */}}
{{- define "langop.observability" -}}
- {name: LANGOP_LOG_FORMAT, value: {{ .program.logFormat }}}
{{- with .root.Values.telemetry }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ .protocol }}}
{{- end }}
{{- end }}
{{- end }}

{{/* What the values add to a program's environment. */}}
{{- define "langop.extraEnv" -}}
{{- if .root.Values.extraCA.configMap }}
# The folder is read beside the file, which is the image's own list.
- {name: SSL_CERT_FILE, value: /etc/ssl/certs/ca-certificates.crt}
- {name: SSL_CERT_DIR, value: /etc/langop/extra-ca}
{{- end }}
{{- include "langop.settings" .program.settings }}
{{- with .program.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The address that every family of the cluster reaches; [::] needs a node with IPv6. */}}
{{- define "langop.anyAddress" -}}{{ ternary "[::]" "0.0.0.0" (eq .Values.ipFamily "ipv6") }}{{- end }}

{{/* Addresses of the DNS servers as ranges of one address each. */}}
{{- define "langop.dnsCidrs" -}}
{{- $ranges := list -}}
{{- range .Values.dns.addresses -}}{{ $ranges = append $ranges (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) }}{{- end -}}
{{ join "," $ranges | quote }}
{{- end }}
