// A tool in Go on the official package: counts words, over Streamable HTTP, for clients of both eras.
//
// This is all that an image needs for `spec.image` of a LanguageTool: PORT in, MCP at /mcp out.
package main

import (
	"cmp"
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type arguments struct {
	Text string `json:"text" jsonschema:"The text whose words are counted"`
}

func countWords(_ context.Context, _ *mcp.CallToolRequest, given arguments) (*mcp.CallToolResult, any, error) {
	count := strconv.Itoa(len(strings.Fields(given.Text)))
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: count}}}, nil, nil
}

func main() {
	server := mcp.NewServer(&mcp.Implementation{Name: "words", Version: "0.1.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{
		Name: "count_words", Description: "Counts the words of a text", Annotations: &mcp.ToolAnnotations{ReadOnlyHint: true},
	}, countWords)
	// Without sessions any replica answers any request. Who may connect is the network policy's business: in a cluster the Host is the
	// Service's name.
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true, DisableLocalhostProtection: true})
	http.Handle("/mcp", handler)
	address := net.JoinHostPort(os.Getenv("LANGOP_TOOL_HOST"), cmp.Or(os.Getenv("PORT"), "8080"))
	log.Fatal(http.ListenAndServe(address, nil))
}
