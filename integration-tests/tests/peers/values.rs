//! Results of real servers as parameters of other tools: the text where a text is wanted, and the
//! structure elsewhere.

use std::net::{IpAddr, Ipv4Addr};

use langop_integration_tests::{
    Agent, FakeLlm, Reply, SmtpServer,
    peers::servers::{Kind, McpServer, TEXT},
};

use crate::tools;

/// The server repeats the text as `{"content": …}`, and that is not what anybody mails.
#[tokio::test]
async fn a_file_of_the_reference_server_is_mailed_as_its_text() {
    let server = McpServer::start(Kind::Gateway).await.unwrap();
    let smtp = SmtpServer::start(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .await
        .unwrap();
    let port = smtp.port.to_string();
    let variables = [
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &*port),
        ("SMTP_SECURITY", "none"),
        ("SMTP_FROM", "agents@example.com"),
    ];
    let (mail, _process) = tools::start("langop-tool-email", &variables).await;
    let model = FakeLlm::start().await.unwrap();
    model.reply(Reply::Text("a good subject".to_owned()));
    let path = server.note();
    let path = path.display();
    let body = format!(
        r#"
  workflow do
    step "Read" do
      use_tool "peer", action: "read_text_file", params: {{ path: "{path}" }}
    end
    step "Subject", depends_on: "Read" do
      ask "Which subject?"
    end
    step "Mail", depends_on: "Subject" do
      use_tool "mail", action: "send", params: {{ to: "ops@example.com", subject: result("Subject"), body: result("Read") }}
    end
  end"#
    );
    let agent = Agent::new("reader", &body)
        .unwrap()
        .tools(&[("peer", server.url()), ("mail", mail)])
        .model(model.endpoint());
    let ended = agent.run().await.unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let messages = smtp.messages().unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let mailed = messages[0].split("\n\n").nth(1).unwrap();
    assert_eq!(mailed.trim_end(), TEXT);
    let asked = model.requests()[0].body.to_string();
    assert!(
        asked.contains(TEXT) && !asked.contains("content\\\":"),
        "{asked}"
    );
}

/// The SDK wraps a number as `{"result": 3}`. Nobody unwraps it: the server says what it wants.
#[tokio::test]
async fn a_number_of_a_server_in_python_is_refused_in_its_own_words() {
    let server = McpServer::start(Kind::Python).await.unwrap();
    let body = r#"
  workflow do
    step "Add" do
      use_tool "peer", action: "add", params: { a: 1, b: 2 }
    end
    step "Count", depends_on: "Add" do
      use_tool "peer", action: "count", params: { to: result("Add") }
    end
  end"#;
    let agent = Agent::new("counter", body)
        .unwrap()
        .tools(&[("peer", server.url())]);
    let ended = agent.run().await.unwrap();
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    let said = "tool-error in step 'Count': the tool 'peer' says: ";
    assert!(ended.line.starts_with(said), "{}", ended.line);
    assert!(ended.line.contains("count"), "{}", ended.line);
}
