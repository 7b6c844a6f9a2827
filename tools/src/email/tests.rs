//! Sending over a scripted SMTP server on loopback. Reading is tried against a real server, in
//! integration-tests/tests/email.rs.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use super::*;

/// A server that takes messages, or refuses recipients.
async fn server(refuses: bool) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let inbox: Arc<Mutex<Vec<String>>> = Arc::default();
    let shared = Arc::clone(&inbox);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let inbox = Arc::clone(&shared);
            tokio::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                writer.write_all(b"220 hi\r\n").await.unwrap();
                let mut data: Option<String> = None;
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Some(text) = &mut data {
                        if line == "." {
                            inbox.lock().unwrap().push(data.take().unwrap());
                            writer.write_all(b"250 taken\r\n").await.unwrap();
                        } else {
                            text.push_str(&line);
                            text.push('\n');
                        }
                        continue;
                    }
                    let answer: &[u8] = match line.get(..4).unwrap_or("") {
                        "RCPT" if refuses => b"550 no\r\n",
                        "DATA" => {
                            data = Some(String::new());
                            b"354 go\r\n"
                        }
                        _ => b"250 ok\r\n",
                    };
                    writer.write_all(answer).await.unwrap();
                }
            });
        }
    });
    (port, inbox)
}

fn email(port: u16, allowed: &[&str], keys: &tempfile::TempDir) -> Email {
    let smtp = SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::None,
        login: None,
        from: "agents@example.com".parse().unwrap(),
        recipients: Recipients::new(allowed.iter().map(ToString::to_string).collect()),
        keys: keys.path().join("keys"),
    };
    Email::new(Settings {
        smtp: Some(smtp),
        imap: None,
    })
    .unwrap()
}

fn call(to: &str, key: Option<&str>) -> Call {
    let arguments = json!({"to": to, "subject": "Hello", "body": "line one\nline two"});
    Call {
        arguments: arguments.as_object().cloned(),
        idempotency_key: key.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_message_is_sent_once_for_each_key() {
    let (port, inbox) = server(false).await;
    let keys = tempfile::tempdir().unwrap();
    let email = email(port, &["@example.com"], &keys);
    let send = async |key| {
        email
            .call("send", call("ops@example.com", key))
            .await
            .unwrap()
    };
    assert_eq!(send(Some("k")).await.unwrap().text, "sent to 1 recipient");
    assert_eq!(send(Some("k")).await.unwrap().text, "sent before");
    assert_eq!(send(Some("l")).await.unwrap().text, "sent to 1 recipient");
    assert_eq!(send(None).await.unwrap().text, "sent to 1 recipient");
    let inbox = inbox.lock().unwrap();
    assert_eq!(inbox.len(), 3);
    assert!(inbox[0].contains("Subject: Hello"), "{}", inbox[0]);
    assert!(inbox[0].contains("line one\nline two"), "{}", inbox[0]);
}

#[tokio::test]
async fn what_the_server_refuses_may_be_tried_again() {
    let (port, inbox) = server(true).await;
    let keys = tempfile::tempdir().unwrap();
    let email = email(port, &[], &keys);
    for _ in 0..2 {
        let error = email
            .call("send", call("ops@example.com", Some("k")))
            .await
            .unwrap();
        assert_eq!(
            error.unwrap_err().to_string(),
            "the mail server refuses the message"
        );
    }
    assert!(inbox.lock().unwrap().is_empty());
}

#[tokio::test]
async fn only_allowed_recipients_and_one_line_subjects() {
    let keys = tempfile::tempdir().unwrap();
    let email = email(1, &["ops@example.com"], &keys);
    let error = email
        .call("send", call("x@evil.example, ops@example.com", None))
        .await
        .unwrap();
    assert!(error.unwrap_err().to_string().contains("administrator"));
    let mut injected = call("ops@example.com", None);
    injected
        .arguments
        .as_mut()
        .unwrap()
        .insert("subject".to_owned(), "a\r\nBcc: x@evil.example".into());
    let error = email.call("send", injected).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("one line"), "{error}");
    for to in ["", "nobody", ","] {
        assert!(
            email.call("send", call(to, None)).await.unwrap().is_err(),
            "{to}"
        );
    }
}
