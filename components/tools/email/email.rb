# frozen_string_literal: true

# Mail: an example of the SDK beside the reference tool, which reads mail too. Who may be written to is a setting, so that no text that a
# model reads can choose it.

require "net/smtp"
require "time"
require "securerandom"

HOST = ENV.fetch("SMTP_HOST")
PORT = Integer(ENV.fetch("SMTP_PORT", "587"))
SECURITY = ENV.fetch("SMTP_SECURITY", PORT == 465 ? "implicit" : "starttls")
FROM = ENV.fetch("SMTP_FROM") { ENV.fetch("SMTP_USERNAME") }
# Addresses and @domains; empty: everybody.
ALLOWED = ENV.fetch("EMAIL_ALLOWED_RECIPIENTS", "").split(",").map { |one| one.strip.downcase }.freeze
ADDRESS = /\A[A-Za-z0-9.!#$%&'*+\/=?^_`{|}~-]+@[A-Za-z0-9.-]+\z/
# How long a call that is made again is known, in seconds.
KEPT = 86_400

raise ArgumentError, "SMTP_SECURITY must be starttls, implicit or none" unless %w[starttls implicit none].include?(SECURITY)

mutex = Mutex.new
sent = {}

check = lambda do |address|
  raise Langop::ToolError, "'#{address[0, 100]}' is no address" unless address.match?(ADDRESS)

  lower = address.downcase
  good = ALLOWED.empty? || ALLOWED.any? { |one| one.start_with?("@") ? lower.end_with?(one) : lower == one }
  raise Langop::ToolError, "'#{address}' may not be written to: add it to EMAIL_ALLOWED_RECIPIENTS" unless good
end

# A header's text: on one line, encoded where it is not plain.
header = ->(text) { text.match?(/\A[ -~]*\z/) ? text : "=?UTF-8?B?#{[text.gsub(/[[:cntrl:]]+/, " ")].pack("m0")}?=" }

deliver = lambda do |to, subject, body|
  message = <<~MAIL.gsub("\n", "\r\n")
    From: <#{FROM}>
    To: <#{to}>
    Subject: #{header.call(subject)}
    Date: #{Time.now.rfc2822}
    Message-ID: <#{SecureRandom.uuid}@#{FROM.split("@").last}>
    MIME-Version: 1.0
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: base64

    #{[body].pack("m")}
  MAIL
  smtp = Net::SMTP.new(HOST, PORT)
  smtp.open_timeout = smtp.read_timeout = 30
  smtp.disable_starttls
  smtp.enable_starttls if SECURITY == "starttls"
  smtp.enable_tls if SECURITY == "implicit"
  account = [ENV.fetch("SMTP_USERNAME", nil), ENV.fetch("SMTP_PASSWORD", nil)]
  account = [nil, nil] unless account.all?
  smtp.start(FROM.split("@").last, *account) { smtp.send_message(message, FROM, to) }
rescue Net::SMTPError, SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError => e
  raise Langop::ToolError, "the mail server did not take the message (#{e.class.name.split("::").last})"
end

tool "send" do
  description "Sends a message as mail"
  parameter :to, type: :string, required: true, description: "One address"
  parameter :subject, type: :string, required: true, maxLength: 200
  parameter :body, type: :string, required: true, maxLength: 1_000_000
  execute do |params, context|
    check.call(params[:to])
    # A call that is made again with its key is not sent again.
    key = context.idempotency_key
    mutex.synchronize do
      sent.delete_if { |_, time| time < Time.now - KEPT }
      next "was sent to #{params[:to]} before" if key && sent.key?(key)

      deliver.call(params[:to], params[:subject], params[:body])
      sent[key] = Time.now if key
      "sent to #{params[:to]}"
    end
  end
end
