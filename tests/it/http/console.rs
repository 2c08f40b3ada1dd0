//! GraphiQL comes from the binary whole, and may ask nobody else for anything.

use super::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_page_is_served() {
    let node = Node::start().await;
    let answer = node.get("/").send().await.unwrap();
    assert_eq!(answer.url().path(), "/graphiql", "`/` leads to GraphiQL");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'"] {
        assert!(policy.split("; ").any(|given| given == part), "{part}: {policy}");
    }
    let page = answer.text().await.unwrap();
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
    let mut files = 0;
    for part in page.split(['"', '\'']).filter(|part| part.starts_with('/')) {
        let answer = node.get(part).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{part}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        files += 1;
    }
    assert!(files >= 6, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_packed_and_asked_for_again_only_when_they_changed() {
    let node = Node::start().await;
    let answer = node.get("/graphiql/graphiql.min.js").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["content-type"], "text/javascript; charset=utf-8");
    let tag = answer.headers()["etag"].clone();
    let answer = node.get("/graphiql/graphiql.min.js").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(answer.status(), 304);
    assert_eq!(node.get("/graphiql/other.js").send().await.unwrap().status(), 404);
}
