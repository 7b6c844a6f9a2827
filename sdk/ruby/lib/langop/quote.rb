# frozen_string_literal: true

require_relative "secrets"

module Langop
  # Texts that came from outside, as they may be shown: bounded in bytes, on one line, without
  # characters that nobody sees and without keys.
  module Quote
    # Most bytes of a text of a tool or model within a message.
    MAX_BYTES = 120
    # Characters that move a cursor, reorder what stands beside them, or hide.
    UNSEEN = /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/

    module_function

    # @param text [#to_s]
    # @param limit [Integer] most bytes, three of which may be an ellipsis
    # @return [String] the text on one line
    def line(text, limit = MAX_BYTES)
      text = Secrets.mask(utf8(text)).gsub(UNSEEN, " ").split.join(" ")
      text.bytesize <= limit ? text : "#{head(text, limit - 3)}…"
    end

    # @param text [String]
    # @param limit [Integer] most bytes
    # @return [String] the text, with a note of what is missing where it is cut
    def cut(text, limit)
      return text if text.bytesize <= limit

      note = "\n[cut: #{limit} of #{text.bytesize} bytes shown]"
      head(text, limit - note.bytesize) + note
    end

    # @param text [#to_s]
    # @return [String] valid UTF-8
    def utf8(text) = text.to_s.dup.force_encoding(Encoding::UTF_8).scrub

    # The beginning of a text in at most `limit` bytes, no character torn.
    def head(text, limit) = text.byteslice(0, [limit, 0].max).scrub("")
  end
end
