# frozen_string_literal: true

require "net/http"
require "openssl"

module Langop
  module Client
    # One POST over a connection of its own. Tells apart what matters: nothing was sent, or something
    # was and the rest is unknown. Ending the thread that waits closes the connection.
    module Http
      # How long a connection may take to be made, in seconds.
      CONNECT = 5
      # Most redirects, all of them keeping method and body, and staying with the origin.
      MAX_REDIRECTS = 5

      # Nothing was sent.
      class NotSent < StandardError; end
      # Nothing was sent, and no waiting helps: the server's certificate is not trusted.
      class Untrusted < NotSent; end
      # Something was sent, and there is no whole answer.
      class Broken < StandardError; end

      NO_CONNECTION = [SystemCallError, SocketError, Net::OpenTimeout, OpenSSL::SSL::SSLError, IOError].freeze
      BROKEN = [SystemCallError, IOError, Net::ReadTimeout, Net::WriteTimeout, Net::HTTPBadResponse,
                Net::ProtocolError, OpenSSL::SSL::SSLError, Zlib::Error].freeze
      # What OpenSSL says where more authorities would help.
      UNKNOWN_ISSUER = /issuer|self.signed|first certificate/
      private_constant :NO_CONNECTION, :BROKEN, :UNKNOWN_ISSUER

      module_function

      # @param request [Net::HTTPRequest]
      # @param read_timeout [Numeric] seconds without anything to read
      # @yield [Net::HTTPResponse, Net::HTTP] the answer, its body unread
      # @raise [NotSent, Broken]
      def request(url, request, read_timeout:, redirects: 0, &block)
        moved = nil
        result = connected(url, read_timeout) do |http|
          # Thrown, because a block that returns has Net::HTTP read the rest of the body.
          catch(:answered) do
            http.request(request) do |response|
              moved = redirects < MAX_REDIRECTS ? moved_to(url, response) : nil
              throw :answered, moved ? nil : block.call(response, http)
            end
          end
        end
        return result unless moved

        again = request.class.new(moved, request.to_hash.transform_values(&:first))
        again.body = request.body
        request(moved, again, read_timeout: read_timeout, redirects: redirects + 1, &block)
      end

      def connected(url, read_timeout)
        http = Net::HTTP.new(url.host.delete("[]"), url.port)
        http.use_ssl = url.scheme == "https"
        http.open_timeout = CONNECT
        http.read_timeout = read_timeout
        http.max_retries = 0
        begin
          http.start
        rescue *NO_CONNECTION => e
          raise not_sent(url, e)
        end
        begin
          yield http
        rescue Net::ReadTimeout, Net::WriteTimeout
          raise Broken, "no answer in time"
        rescue *BROKEN
          raise Broken, "the connection broke"
        end
      ensure
        http.finish if http&.started?
      end

      # What is wrong with a certificate, what to do, and where; without path and query, which may hold a key.
      def not_sent(url, error)
        why = error.message[/certificate verify failed \((.*?)\)/, 1] if error.is_a?(OpenSSL::SSL::SSLError)
        return NotSent.new("no connection") unless why

        server = "#{url.scheme}://#{url.host}:#{url.port}"
        return Untrusted.new("unknown certificate authority, set spec.caBundle: #{server}") if UNKNOWN_ISSUER.match?(why)

        Untrusted.new("#{server} needs a certificate valid for its host and now (#{why})")
      end

      def moved_to(url, response)
        return unless %w[307 308].include?(response.code) && response["location"]

        target = URI.join(url, response["location"])
        target if [target.scheme, target.host, target.port] == [url.scheme, url.host, url.port]
      rescue URI::Error
        nil
      end

      # The whole body in at most `limit` bytes; nil if it is larger.
      def body(response, limit)
        body = +""
        response.read_body do |chunk|
          body << chunk
          return nil if body.bytesize > limit
        end
        body.force_encoding(Encoding::UTF_8)
      end

      # Seconds only: a date would need a clock that both share.
      def retry_after(response) = Integer(response["retry-after"].to_s.strip, 10, exception: false)
    end
  end
end
