"""Small cases: a failing call is made smaller and written as a script that runs on its own."""
