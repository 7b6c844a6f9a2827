# frozen_string_literal: true

# Pages of the web: an example of the SDK beside the reference tool. An address that is not public is refused after the name was resolved, and
# the connection is made to the address that was judged, so that no second look-up can give another one. Each redirect is judged anew.

require "ipaddr"
require "net/http"
require "resolv"

MAX_REDIRECTS = 5
MAX_BYTES = 200_000
# In seconds.
TIMEOUT = 20
# What is no public address and has no method of IPAddr that says so.
RESERVED = %w[0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
              ::/128 64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 ff00::/8].map { |range| IPAddr.new(range) }.freeze
# Addresses or ranges that are allowed all the same.
ALLOWED = ENV.fetch("WEB_ALLOWED_ADDRESSES", "").split(",").map { |range| IPAddr.new(range.strip) }.freeze

reachable = lambda do |address|
  # An address of IPv4 in the clothes of one of IPv6 is judged as what it is.
  address = address.native if address.ipv4_mapped?
  within = ->(ranges) { ranges.any? { |range| range.family == address.family && range.include?(address) } }
  within.call(ALLOWED) || !(address.private? || address.loopback? || address.link_local? || within.call(RESERVED))
end

# The address to connect to, judged.
resolve = lambda do |url|
  host = url.host.delete("[]")
  addresses = host.match?(/\A[\d.]+\z|:/) ? [host] : Resolv.getaddresses(host)
  raise Langop::ToolError, "there is no '#{host}'" if addresses.empty?

  addresses = addresses.map { |address| IPAddr.new(address.sub(/%.*/, "")) }
  raise Langop::ToolError, "'#{host}' is not public" unless addresses.all? { |address| reachable.call(address) }

  addresses.first.to_s
rescue IPAddr::Error
  raise Langop::ToolError, "'#{host}' is no address"
end

parse = lambda do |text|
  url = URI.parse(text)
  raise URI::InvalidURIError unless url.is_a?(URI::HTTP) && url.host && !url.host.empty?
  raise Langop::ToolError, "a user and a password do not belong in a url" if url.userinfo

  url
rescue URI::Error
  raise Langop::ToolError, "'#{text[0, 100]}' is no url: write http:// or https:// and a host"
end

# The answer, at most so many bytes of its body, which may be the redirect to another place.
get = lambda do |url, max_bytes|
  http = Net::HTTP.new(url.host.delete("[]"), url.port, nil)
  http.ipaddr = resolve.call(url)
  http.use_ssl = url.scheme == "https"
  http.open_timeout = http.read_timeout = TIMEOUT
  body = +""
  response = http.start do
    catch(:enough) do
      http.request_get(url.request_uri, "user-agent" => "langop-web", "accept-encoding" => "identity") do |answer|
        answer.read_body do |chunk|
          body << chunk
          throw :enough, answer if body.bytesize >= max_bytes
        end
      end
    end
  end
  [response, body.byteslice(0, max_bytes)]
rescue SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError, Net::HTTPBadResponse
  raise Langop::ToolError, "'#{url.host}' does not answer"
end

tool "fetch" do
  description "Fetches a page of the web as text"
  parameter :url, type: :string, required: true
  parameter :max_bytes, type: :integer, minimum: 1, maximum: MAX_BYTES, default: 20_000
  read_only
  execute do |params|
    url = parse.call(params[:url])
    (0..MAX_REDIRECTS).each do |redirects|
      response, body = get.call(url, params[:max_bytes])
      if response.is_a?(Net::HTTPRedirection) && response["location"]
        raise Langop::ToolError, "more than #{MAX_REDIRECTS} redirects" if redirects == MAX_REDIRECTS

        url = parse.call(URI.join(url, response["location"]).to_s)
        next
      end
      raise Langop::ToolError, "'#{url.host}' answers #{response.code}" unless response.is_a?(Net::HTTPSuccess)

      break Langop::Quote.utf8(body)
    end
  end
end
