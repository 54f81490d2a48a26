#[test] fn none(){}
