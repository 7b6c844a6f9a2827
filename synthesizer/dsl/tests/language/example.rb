require 'language_operator'

agent 'monitor-agent' do
  description 'Watches the workspace'
  schedule every: '5m'                       # or cron: '0 9 * * 1-5', time_zone: 'Europe/Berlin'; absent: runs continuously
  mode :scheduled                            # optional :autonomous | :scheduled

  objectives [
    "Monitor /workspace for file changes",
    "Send email alerts for critical files"
  ]

  workflow do
    step "Check workspace" do
      use_tool "filesystem", action: "list_files", params: { path: "/workspace" }
    end

    step "Judge", depends_on: "Check workspace" do
      ask "Which of these are critical?", model: "claude"
    end

    step "Alert if changed", depends_on: ["Judge"], only_if: "a critical file changed" do
      use_tool "email", action: "send", params: { to: "ops@example.com", body: result("Judge") }
    end
  end

  constraints max_iterations: 10, timeout: '10m'
end
