# frozen_string_literal: true

module Langop
  # Keys that turn up where they do not belong, known by the shapes that their issuers gave them for
  # exactly this, taken out of a text before it is shown. Few and precise on purpose: a shape counts
  # only with its whole length and with as many different characters as random ones have.
  module Secrets
    # What stands for a secret that was taken out.
    REMOVED = "[secret removed]"
    # Fewest different characters in the random part: `xxxx…` and `1234…` stand for a key.
    LEAST_VARIETY = 10

    # Prefix, alphabet and length of what follows. Longer prefixes before those they begin with.
    SHAPES = [
      ["(?:AKIA|ASIA)", "[A-Z2-7]", "{16}"],
      ["gh[pousr]_", "[A-Za-z0-9]", "{36,511}"],
      ["github_pat_", "[A-Za-z0-9_]", "{36,511}"],
      ["glpat-", "[A-Za-z0-9_-]", "{20,511}"],
      ["sk-ant-", "[A-Za-z0-9_-]", "{40,511}"],
      ["sk-(?:proj|svcacct|admin)-", "[A-Za-z0-9_-]", "{40,511}"],
      ["sk-", "[A-Za-z0-9]", "{48}"],
      ["xox[bpasr]-", "[A-Za-z0-9-]", "{20,511}"],
      ["xapp-", "[A-Za-z0-9-]", "{20,511}"],
      ["AIza", "[A-Za-z0-9_-]", "{35}"],
      ["[sr]k_live_", "[A-Za-z0-9]", "{24,511}"]
    ].map do |prefix, alphabet, length|
      # What goes on in another alphabet is a longer word of another kind.
      /(?<![A-Za-z0-9_])(?:#{prefix})(?<body>(?>#{alphabet}#{length}))(?![A-Za-z0-9_])/
    end.freeze

    PRIVATE_KEY = /(?<![A-Za-z0-9_])-----BEGIN (?<label>[^-]{0,29}PRIVATE KEY)-----\s*[!-,.-~]{10}.*?(?:-----END \k<label>-----|\z)/m

    private_constant :SHAPES, :PRIVATE_KEY

    module_function

    # @param text [String]
    # @return [String] the text with {REMOVED} in place of each secret
    def mask(text)
      masked = text.gsub(PRIVATE_KEY, REMOVED)
      SHAPES.each do |shape|
        masked = masked.gsub(shape) { |found| random?(Regexp.last_match[:body]) ? REMOVED : found }
      end
      masked
    end

    # Letters and digits, and enough different ones. Documentation's own key ends in this word.
    def random?(body)
      body.each_char.uniq.size >= LEAST_VARIETY && body.match?(/[A-Za-z]/) && body.match?(/[0-9]/) &&
        !body.end_with?("EXAMPLE")
    end
  end
end
